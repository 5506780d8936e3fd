"""How long a matrix takes to build, from one cell to fifty, beside the same recipes one after the other.

    python tools/bench_matrix.py [--megabytes N] [--cells N…] [--rounds N]

A cell has a command line of its own, and shares stub, kernel and initrd with all others.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench_inputs import fuki_command, prepare
from bench_process import Usage, measure, median

CELLS = (1, 2, 5, 10, 20, 50)
_MANIFEST = '\n[[fuki.output]]\nformat = "uki"\n[[fuki.output]]\nformat = "manifest"\n'


def matrix_table(megabytes: int = 50, counts: Sequence[int] = CELLS, rounds: int = 1) -> list[str]:
    """Lines of Markdown: what the matrix takes, with and without manifests, and what single builds in turn take.

    CPU time is the sum of all processes, memory that of the largest.
    """
    columns = (f"cells, {megabytes} MB initrd", "with manifests", "wall s", "CPU s", "peak MiB")
    single = ("single builds, wall s", "CPU s", "peak MiB", "single/matrix wall", "single/matrix CPU")
    lines = [f"| {' | '.join((*columns, *single))} |", "|---" * (len(columns) + len(single)) + "|"]
    for count in counts:
        for outputs in ("", _MANIFEST):
            together, alone = (
                [_build(megabytes, count, outputs, joint=joint) for _ in range(rounds)] for joint in (True, False)
            )
            ratios = [f"{median(alone, field) / median(together, field):.1f}" for field in ("wall", "cpu")]
            words = [str(count), "yes" if outputs else "no", *_values(together), *_values(alone), *ratios]
            lines.append(f"| {' | '.join(words)} |")
    return lines


def _values(usages: Sequence[Usage]) -> list[str]:
    times = [f"{median(usages, field):.2f}" for field in ("wall", "cpu")]
    return [*times, f"{median(usages, 'memory'):.0f}"]


def _build(megabytes: int, count: int, outputs: str, *, joint: bool) -> Usage:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        prepare(directory, megabytes, firmware=())
        recipe = directory / "fuki.toml"
        axis = f"\n[fuki.matrix]\nn = [{', '.join(map(str, range(count)))}]\n"
        recipe.write_text(recipe.read_text().replace('"ro"', '"ro n={{ matrix.n }}"') + axis + outputs)
        choices = [[]] if joint else [["--cell", f"n={number}"] for number in range(count)]
        return measure(*(fuki_command("build", *choice) for choice in choices), cwd=directory)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="Measure builds of matrices.")
    parser.add_argument("--megabytes", type=int, default=50, help="size of the initrd that all cells share")
    parser.add_argument("--cells", type=int, nargs="+", default=CELLS)
    parser.add_argument("--rounds", type=int, default=1)
    chosen = parser.parse_args(arguments)
    print(*matrix_table(chosen.megabytes, chosen.cells, chosen.rounds), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
