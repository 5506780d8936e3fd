"""Matrices of strangers: cells, their choice, and every cell's texts, within the bounds of a recipe."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from fuki_build.errors import FukiError
from fuki_build.recipe.load import load_cells
from fuki_build.recipe.matrix import MAX_CELLS

from .helper import workspace

_FILE = workspace() / "fuki.toml"
_EXAMPLE = Path(__file__).parents[2] / "examples" / "matrix" / "fuki.toml"
_HEAD = b'[fuki]\nname = "a"\n[fuki.image]\nlinux = "{{ matrix.a }}"\n'


def seeds() -> Iterator[bytes]:
    yield _EXAMPLE.read_bytes()
    yield (
        _HEAD
        + b'[fuki.matrix]\na = ["x", 1]\nb = ["y"]\nexclude = [{a = "x", b = "y"}]\ninclude = [{a = "z", c = "d"}]\n'
    )
    yield _HEAD + b"[fuki.matrix]\n" + b"".join(b"a%d = [1, 2]\n" % number for number in range(40))
    yield _HEAD + b"[fuki.matrix.a.x]\nb = 1\n[fuki.matrix.c.y]\nd = 2\n"


def run(data: bytes) -> None:
    _FILE.write_bytes(data)
    with suppress(FukiError):
        cells = load_cells(_FILE)
        assert len(cells) <= MAX_CELLS
        for cell in cells:
            if cell.cell is not None:
                assert [c.cell for c in load_cells(_FILE, None, [cell.cell.id])] == [cell.cell]
