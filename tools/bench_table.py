"""How long a row of a table takes that goes into a pipe: milliseconds of CPU time on standard output.

A process of its own, for the reason that bench_arithmetic.py has.
"""

import time

from fuki_build.cli.render.table import TextTable

_ROWS = 20_000
_ROUNDS = 3


def main() -> None:
    taken = []
    for _ in range(_ROUNDS):
        start = time.process_time()
        table = TextTable("machine", "types", "id", "firmware", "devicetree", "through")
        for number in range(_ROWS):
            name, fwid = f"acme:m{number}", f"firmware-{number % 7}"
            table.add_row(name, "3 4 5", "c7352a90-6932-5bb7-b916-d272f6e71955", fwid, "", "id 3 of .hwids")
        for _ in table.lines():
            pass
        taken.append(time.process_time() - start)
    print(1000 * min(taken) / _ROWS)


if __name__ == "__main__":
    main()
