"""How long a matrix takes to build, from one cell to fifty, beside the same recipes one after the other.

    python tools/bench_matrix.py [--megabytes N] [--cells N…]

A cell has a command line of its own, and shares stub, kernel and initrd with all others.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench_inputs import fuki_command, prepare

CELLS = (1, 2, 5, 10, 20, 50)
_MANIFEST = '\n[[fuki.output]]\nformat = "uki"\n[[fuki.output]]\nformat = "manifest"\n'


def matrix_table(megabytes: int = 50, counts: Sequence[int] = CELLS) -> list[str]:
    """Lines of Markdown: seconds of the matrix, with and without manifests, and of single builds in turn."""
    rows = [
        f"| cells, {megabytes} MB initrd | matrix | with manifests | single builds | with manifests |",
        "|---|---|---|---|---|",
    ]
    for count in counts:
        times = [
            _seconds(megabytes, count, outputs, together=together)
            for together in (True, False)
            for outputs in ("", _MANIFEST)
        ]
        rows.append(f"| {count} | " + " | ".join(f"{seconds:.2f} s" for seconds in times) + " |")
    return rows


def _seconds(megabytes: int, count: int, outputs: str, *, together: bool) -> float:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        prepare(directory, megabytes, firmware=())
        recipe = directory / "fuki.toml"
        axis = f"\n[fuki.matrix]\nn = [{', '.join(map(str, range(count)))}]\n"
        recipe.write_text(recipe.read_text().replace('"ro"', '"ro n={{ matrix.n }}"') + axis + outputs)
        choices = [[]] if together else [["--cell", f"n={number}"] for number in range(count)]
        start = time.monotonic()
        for choice in choices:
            subprocess.run(fuki_command("build", *choice), cwd=directory, check=True, capture_output=True)
        return time.monotonic() - start


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="Measure builds of matrices.")
    parser.add_argument("--megabytes", type=int, default=50, help="size of the initrd that all cells share")
    parser.add_argument("--cells", type=int, nargs="+", default=CELLS)
    chosen = parser.parse_args(arguments)
    print(*matrix_table(chosen.megabytes, chosen.cells), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
