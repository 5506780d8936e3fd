"""Cells of a matrix have paths of their own."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from fuki_build.errors import RecipeError, in_cell
from fuki_build.image.output_files import PathId, path_id
from fuki_build.recipe.load import LoadedRecipe


class CellPaths:
    """The files of all cells so far, each with the cell that writes it."""

    def __init__(self) -> None:
        self._owners: dict[PathId, LoadedRecipe] = {}

    def add(self, cell: LoadedRecipe, paths: Sequence[tuple[Path, str]]) -> None:
        """Note the files of a cell, each with the place that says its path. Raises `RecipeError` for another cell's."""
        for path, where in paths:
            owner = self._owners.setdefault(path_id(path), cell)
            if owner is cell:
                continue
            with in_cell(cell.cell_id), cell.origins.named():
                names = " and ".join(sorted(_differing(owner, cell)))
                raise RecipeError(
                    f"the cell {owner.cell_id} writes {path}, too",
                    where=where,
                    hint=f"give each a path of its own, with {names} in it",
                )


def _differing(one: LoadedRecipe, other: LoadedRecipe) -> Iterator[str]:
    """The names of axes, as in texts, that tell two cells apart."""
    first, second = ({} if loaded.cell is None else loaded.cell.axes for loaded in (one, other))
    for axis in {**first, **second}:
        if first.get(axis) != second.get(axis):
            yield f"{{{{ matrix.{axis} }}}}"
