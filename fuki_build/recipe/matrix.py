"""`[fuki.matrix]`: one recipe for many images, each a cell with values of its own for the recipe's texts.

`include` and `exclude` work as in GitHub's matrices: exclusions come first; an item of `include` adds its variables to
every cell of the axes whose values it does not contradict, and is a cell of its own where there is none.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import product
from math import prod
from typing import Any

from msgspec import Struct

from fuki_build.errors import RecipeError, did_you_mean
from fuki_build.recipe.convert import convert
from fuki_build.recipe.model import NAME, MatrixPart
from fuki_build.recipe.text import place_of

MAX_CELLS = 1000
_PLACE = "fuki.matrix"
_ITEMS = ("include", "exclude")

Values = Mapping[str, str]


class MatrixCell(Struct, frozen=True):
    """One combination: `axes` are its values along the axes, `variables` all that texts have as `matrix.NAME`.

    >>> MatrixCell({"arch": "x64", "cloud": "aws"}, {"arch": "x64", "cloud": "aws", "console": "ttyS0"}).id
    'arch=x64,cloud=aws'
    """

    axes: Values
    variables: Values

    @property
    def id(self) -> str:
        """The axes' values, as `--cell` takes them."""
        return ",".join(f"{axis}={value}" for axis, value in self.axes.items())

    @property
    def stem(self) -> str:
        """The axes' values, for the names of files."""
        return "-".join(self.axes.values())


class _Axis(Struct, frozen=True):
    """An axis' values, and the variables that each of them brings."""

    name: str
    brings: Mapping[str, Values]


def find_cells(data: object) -> tuple[MatrixCell, ...]:
    """The cells of a recipe's matrix, in the order of its axes; none where it has no matrix.

    Raises `RecipeError` with the place.
    """
    matrix = _converted(data)
    if not matrix:
        return ()
    axes = [_axis(name, values) for name, values in matrix.items() if name not in _ITEMS]
    if not axes:
        hint = "name one there: arch = ['x64', 'aa64']; or arch = [] where 'include' has all combinations"
        raise RecipeError("the matrix has no axis", where=_PLACE, hint=hint)
    _refuse_clashes(axes)

    includes, excludes = _items(matrix, "include"), _items(matrix, "exclude")
    count = prod(len(axis.brings) for axis in axes) + len(includes)
    if count > MAX_CELLS:
        raise RecipeError(f"the matrix has {count} cells, more than the {MAX_CELLS} that it may have", where=_PLACE)

    cells = _without(list(_combinations(axes)), axes, excludes)
    cells = _with(cells, axes, includes)
    if not cells:
        raise RecipeError("the matrix has no cells", where=_PLACE, hint="give its axes values, or exclude less")
    return tuple(cells)


def _converted(data: object) -> Mapping[str, Any]:
    """The axes and items as the model has them; errors name the axis, which msgspec does not."""
    if not isinstance(data, Mapping):
        return convert({"matrix": data}, MatrixPart, "fuki").matrix
    matrix: dict[str, Any] = {}
    for name, value in data.items():
        try:
            matrix |= convert({"matrix": {name: value}}, MatrixPart, "fuki").matrix
        except RecipeError as error:
            error.where = (error.where or _PLACE).replace(f"{_PLACE}[...]", place_of(_PLACE, name))
            raise
    return matrix


def choose_cells(cells: Sequence[MatrixCell], choices: Sequence[str], where: str = "--cell") -> tuple[MatrixCell, ...]:
    """The cells that any of the choices names: `axis=value,…`, where values may have wildcards; all without choices.

    Raises `RecipeError` for a choice that names none.
    """
    if choices and not cells:
        raise RecipeError("the recipe has no matrix to choose cells of", where=where, hint="leave the option out")

    chosen: dict[str, MatrixCell] = {}
    for choice in choices:
        patterns = _patterns(choice, cells, where)
        named = [cell for cell in cells if all(fnmatchcase(cell.axes.get(a, ""), p) for a, p in patterns.items())]
        if not named:
            known = [cell.id for cell in cells]
            hint = did_you_mean(choice, known) or f"there are {', '.join(known[:4])}{' …' if known[4:] else ''}"
            raise RecipeError(f"no cell is {choice!r}", where=where, hint=hint)
        chosen |= {cell.id: cell for cell in named}

    return tuple(cell for cell in cells if not choices or cell.id in chosen)


def _patterns(choice: str, cells: Sequence[MatrixCell], where: str) -> Mapping[str, str]:
    patterns = {}
    axes = list(dict.fromkeys(axis for cell in cells for axis in cell.axes))
    for word in choice.split(","):
        axis, equals, pattern = word.partition("=")
        if not equals:
            hint = f"as in --cell {cells[0].id}"
            raise RecipeError(f"{word!r} is not AXIS=VALUE", where=where, hint=hint)
        if axis not in axes:
            hint = did_you_mean(axis, axes) or f"its axes: {', '.join(axes)}"
            raise RecipeError(f"the matrix has no axis {axis!r}", where=where, hint=hint)
        patterns[axis] = pattern

    return patterns


def _axis(name: str, values: object) -> _Axis:
    where = place_of(_PLACE, name)
    brings: dict[str, Values] = {}
    if isinstance(values, Mapping):
        for value, table in values.items():
            brings[_value(str(value), place_of(where, value))] = {key: str(text) for key, text in table.items()}
        return _Axis(name, brings)

    assert isinstance(values, tuple)  # noqa: S101 - the model has nothing else
    for index, value in enumerate(values):
        place = f"{where}[{index}]"
        if isinstance(value, Mapping):
            hint = f"write it as [{where}.VALUE], or as an item of include"
            raise RecipeError("a value of an axis is a text or a number", where=place, hint=hint)
        if str(value) in brings:
            raise RecipeError(f"{value!r} is there twice", where=place, hint="remove one")
        brings[str(value)] = {}
    return _Axis(name, brings)


def _value(text: str, where: str) -> str:
    """A value that becomes part of ids and file names, as those in lists do."""
    if not re.fullmatch(NAME, text):
        hint = "begin with a letter or digit, and go on with these and . _ + ~ -"
        raise RecipeError(f"{text!r} is no value of an axis", where=where, hint=hint)
    return text


def _refuse_clashes(axes: Sequence[_Axis]) -> None:
    """A name means one thing: no variable has the name of an axis, and no two axes bring the same."""
    owners = {axis.name: axis.name for axis in axes}
    for axis in axes:
        for value, variables in axis.brings.items():
            for name in variables:
                owner = owners.setdefault(name, axis.name)
                if owner == name or owner != axis.name:
                    use = "an axis" if owner == name else f"a variable of the axis {owner!r}"
                    where = place_of(place_of(place_of(_PLACE, axis.name), value), name)
                    raise RecipeError(f"{name!r} is {use} already", where=where, hint="give it another name")


def _items(matrix: Mapping[str, Any], key: str) -> list[Values]:
    items = matrix.get(key, ())
    if isinstance(items, Mapping) or not all(isinstance(item, Mapping) for item in items):
        hint = f"write [[fuki.matrix.{key}]]: it is no axis"
        raise RecipeError("expected a list of tables", where=f"{_PLACE}.{key}", hint=hint)
    return [{name: str(value) for name, value in item.items()} for item in items]


def _combinations(axes: Sequence[_Axis]) -> Iterator[MatrixCell]:
    for values in product(*(axis.brings for axis in axes)):
        yield _cell(axes, {axis.name: value for axis, value in zip(axes, values, strict=True)})


def _cell(axes: Sequence[_Axis], values: Values) -> MatrixCell:
    """The cell at these values, with what they bring."""
    brought = {
        name: text
        for axis in axes
        for name, text in axis.brings.get(values.get(axis.name, ""), {}).items()
    }  # fmt: skip
    return MatrixCell(values, {**values, **brought})


def _without(cells: list[MatrixCell], axes: Sequence[_Axis], excludes: Sequence[Values]) -> list[MatrixCell]:
    for index, item in enumerate(excludes):
        where = f"{_PLACE}.exclude[{index}]"
        for name in item:
            if name not in {axis.name for axis in axes}:
                hint = did_you_mean(name, [axis.name for axis in axes]) or "cells are left out by the values of axes"
                raise RecipeError(f"the matrix has no axis {name!r}", where=place_of(where, name), hint=hint)
        kept = [cell for cell in cells if not _agrees(cell, item)]
        if len(kept) == len(cells):
            raise RecipeError("this leaves out no cell", where=where, hint="remove it, or mend its values")
        cells = kept
    return cells


def _agrees(cell: MatrixCell, item: Values) -> bool:
    """Whether all values of the item that are about axes are those of the cell."""
    return all(cell.axes[name] == value for name, value in item.items() if name in cell.axes)


def _with(cells: list[MatrixCell], axes: Sequence[_Axis], includes: Sequence[Values]) -> list[MatrixCell]:
    own: list[MatrixCell] = []
    names = [axis.name for axis in axes]
    for index, item in enumerate(includes):
        where = f"{_PLACE}.include[{index}]"
        if any(_agrees(cell, item) for cell in cells):
            cells = [MatrixCell(c.axes, {**c.variables, **item}) if _agrees(c, item) else c for c in cells]
            continue

        # It contradicts every combination of the axes: a cell of its own.
        values = {name: _value(item[name], place_of(where, name)) for name in names if name in item}
        if not values:
            hint = f"give it a value of {' or '.join(names)}"
            raise RecipeError("this cell has a value on no axis", where=where, hint=hint)
        cell = _cell(axes, values)
        cell = MatrixCell(values, {**cell.variables, **item})
        if any(cell.id == other.id for other in own):
            raise RecipeError(f"the cell {cell.id} is there twice", where=where, hint="write both as one item")
        own.append(cell)
    return [*cells, *own]
