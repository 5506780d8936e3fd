"""How long it takes from an image's digests in four banks to all predicted values: `seconds values` on standard output.

A process of its own: what bench.py loads would count as memory of the commands that it measures.
"""

import sys
import time
from pathlib import Path

from fuki_build.image.assemble import assemble
from fuki_build.image.digest_plan import measured_in
from fuki_build.image.inspect import inspect
from fuki_build.measure.boot import Boot
from fuki_build.measure.predict import cases, predict
from fuki_build.measure.registers import BANKS, PHASES, split_phases
from fuki_build.measure.section_digests import SectionDigests
from fuki_build.measure.views import predictions_view


def main(image: Path, rounds: int) -> None:
    layout = inspect(image)
    contents = SectionDigests(layout, assemble(layout, digests=measured_in(BANKS)), tuple(BANKS))
    paths = [split_phases(path) for path in PHASES]
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        view = predictions_view(layout, predict(contents, cases(layout, None, layout.profiles)), paths, Boot())
        taken.append(time.perf_counter() - start)
    values = sum(len(register.values) for case in view.predictions for register in case.registers)
    print(min(taken), values)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
