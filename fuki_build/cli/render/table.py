"""Text on standard output: lines, and tables that are aligned.

A terminal gets styles, and tables laid out for its width, without ever cutting a word: an id or a digest stays in one
piece. A pipe gets neither: each row is one line, without padding at its end, so that programs read whole cells.
"""

import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple

import click

from fuki_build.cli.render import colour
from fuki_build.cli.render.plain import plain
from fuki_build.cli.render.words import columns_of, fold

_GAP = " "
_INDENT = "  "
_NARROW = 20
"""Columns of a terminal below which nothing is folded, however little room there is."""


class Cell(NamedTuple):
    """A text, with the name of its colour, and whether it is bold, on a terminal."""

    text: str
    colour: str | None = None
    bold: bool = False


class TextTable:
    """Rows under headings. What is added may be of anyone: control characters are escaped here.

    The first `keys` columns tell the rows apart. Words are never cut: what does not fit into a terminal is folded
    between words, and then goes into a table of its own with the same keys.
    """

    def __init__(self, *columns: str, right: Sequence[str] = (), keys: int = 1) -> None:
        self._columns = list(columns)
        self._right = frozenset(right)
        self._keys = keys
        self._rows: list[list[Cell | str]] = []

    def add_column(self, name: str) -> None:
        """Add a column behind the others, before any row."""
        self._columns.append(name)

    def add_row(self, *cells: Cell | str) -> None:
        """Add a row with a cell for each column."""
        self._rows.append([plain(c) if isinstance(c, str) else c._replace(text=plain(c.text)) for c in cells])

    def lines(self, width: int | None = None, *, styled: bool = False) -> Iterator[str]:
        """The lines of the table, in one piece, or as a terminal of this `width` can show it."""
        headings: list[Cell | str] = [Cell(name, bold=True) for name in self._columns]
        rows = [headings, *self._rows]
        columns = [_Column(name, cells) for name, cells in zip(self._columns, zip(*rows, strict=True), strict=True)]
        if width is None:
            yield from self._block(columns, [column.width for column in columns], styled=styled)
            return

        for number, block in enumerate(_blocks(columns, self._keys, width)):
            if number:
                yield ""
            if len(block) == self._keys + 1 and _least(block) > width:
                yield from self._below(block, width, styled=styled)
            else:
                yield from self._block(block, _narrowed(block, width), styled=styled)

    def _block(self, columns: Sequence["_Column"], widths: Sequence[int], *, styled: bool) -> Iterator[str]:
        for row in zip(*[column.cells for column in columns], strict=True):
            yield from self._row(columns, row, widths, styled=styled)

    def _below(self, columns: Sequence["_Column"], width: int, *, styled: bool) -> Iterator[str]:
        """Keys, and below them what is too wide to stand beside them."""
        keys = columns[:-1]
        widths = _narrowed(keys, width)
        for *row, last in zip(*[column.cells for column in columns], strict=True):
            yield from self._row(keys, row, widths, styled=styled)
            if _text(last):
                for line in _fold(last, width - len(_INDENT)):
                    yield (_INDENT + _styled(line, styled=styled)).rstrip()

    def _row(
        self, columns: Sequence["_Column"], row: Sequence[Cell | str], widths: Sequence[int], *, styled: bool
    ) -> Iterator[str]:
        folded = [_fold(cell, width) for cell, width in zip(row, widths, strict=True)]
        for pieces in zip_longest(*folded, fillvalue=""):
            yield _GAP.join(self._aligned(columns, pieces, widths, styled=styled)).rstrip()

    def _aligned(
        self, columns: Sequence["_Column"], pieces: Iterable[Cell | str], widths: Sequence[int], *, styled: bool
    ) -> Iterator[str]:
        for column, piece, width in zip(columns, pieces, widths, strict=True):
            padding = " " * (width - _width(piece))
            text = _styled(piece, styled=styled)
            yield padding + text if column.name in self._right else text + padding


class _Column:
    """A column with its heading among its cells: `width` is what it takes, `least` what it takes folded."""

    def __init__(self, name: str, cells: Sequence[Cell | str]) -> None:
        self.name = name
        self.cells = cells
        sizes = [_width(cell) for cell in cells]
        self.width = max(sizes)
        # Only what is longer than a narrow column has to be looked at word by word.
        words = (
            word for cell, size in zip(cells, sizes, strict=True) if size > _NARROW for word in _text(cell).split()
        )
        self.least = max([min(self.width, _NARROW), *map(_width, words)])
        self.is_empty = len(cells) > 1 and not any(sizes[1:])


class Terminal(NamedTuple):
    """What tables are laid out for: the columns of a terminal, None for a pipe, and whether there are colours."""

    width: int | None
    styled: bool


_kept: Terminal | None = None


def terminal() -> Terminal:
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    return _kept or Terminal(width, colour.wanted(sys.stdout))


def keep(kept: Terminal) -> None:
    """Write from now on as for this terminal, in a process whose output is passed on to it."""
    global _kept  # noqa: PLW0603 - of a process that ends with that work
    _kept = kept


class StandardOutput:
    """Standard output, as a terminal or as a pipe. `width` is the terminal's, None for a pipe."""

    def __init__(self) -> None:
        self.width, self._styled = terminal()

    def print(self, text: str = "", *, bold: bool = False) -> None:
        """Write a line, which has passed `plain`; a terminal folds it, and gives it in one piece when it is copied."""
        self._write([_styled(Cell(text, bold=bold), styled=self._styled)])

    def table(self, table: TextTable) -> None:
        self._write(table.lines(self.width, styled=self._styled))

    @staticmethod
    def _write(lines: Iterable[str]) -> None:
        sys.stdout.writelines(f"{line}\n" for line in lines)
        # What is said on standard error comes after it, where both go to one place.
        sys.stdout.flush()


def _text(cell: Cell | str) -> str:
    return cell if isinstance(cell, str) else cell.text


def _styled(cell: Cell | str, *, styled: bool) -> str:
    if isinstance(cell, str):
        return cell
    if not styled or not cell.text or not (cell.colour or cell.bold):
        return cell.text
    return click.style(cell.text, fg=cell.colour, bold=cell.bold or None)


def _width(cell: Cell | str) -> int:
    return columns_of(_text(cell))


def _least(columns: Sequence[_Column]) -> int:
    return sum(column.least for column in columns) + len(_GAP) * (len(columns) - 1)


def _blocks(columns: Sequence[_Column], keys: int, room: int) -> Iterator[list[_Column]]:
    """Columns that fit beside each other, each time behind the keys; without those that have nothing to tell."""
    first, others = list(columns[:keys]), [column for column in columns[keys:] if not column.is_empty]
    block = list(first)
    for column in others:
        if len(block) > keys and _least([*block, column]) > room:
            yield block
            block = list(first)
        block.append(column)
    yield block


def _narrowed(columns: Sequence[_Column], room: int) -> list[int]:
    """Widths that fit into a terminal, as far as words allow: the widest columns give way first."""
    room -= len(_GAP) * (len(columns) - 1)
    low, high = 0, max(column.width for column in columns)
    # The largest width that all columns may have so that they fit, except for those that cannot be as narrow.
    while low < high:
        middle = (low + high + 1) // 2
        if sum(max(min(column.width, middle), column.least) for column in columns) <= room:
            low = middle
        else:
            high = middle - 1
    return [max(min(column.width, low), column.least) for column in columns]


def _fold(cell: Cell | str, width: int) -> list[Cell | str]:
    """The lines of a cell, cut between words."""
    if _width(cell) <= width:
        return [cell]
    return [line if isinstance(cell, str) else cell._replace(text=line) for line in fold(_text(cell), width)]
