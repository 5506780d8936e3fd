"""Text on standard output: lines, and tables that are aligned.

A terminal gets styles, and tables folded to its width. A pipe gets neither: each row is one line, without padding at
its end, so that programs read whole cells.
"""

import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from textwrap import wrap
from typing import NamedTuple
from unicodedata import combining, east_asian_width

import click

from fuki_build.cli.render import colour
from fuki_build.cli.render.plain import plain

_GAP = " "
_NARROW = 8
"""Columns of a terminal that a column of a table keeps however little room there is."""


class Cell(NamedTuple):
    """A text, with the name of its colour, and whether it is bold, on a terminal."""

    text: str
    colour: str | None = None
    bold: bool = False


class TextTable:
    """Rows under headings. What is added may be of anyone: control characters are escaped here."""

    def __init__(self, *columns: str, right: Sequence[str] = ()) -> None:
        self._columns = list(columns)
        self._right = frozenset(right)
        self._rows: list[list[Cell | str]] = []

    def add_column(self, name: str) -> None:
        """Add a column behind the others, before any row."""
        self._columns.append(name)

    def add_row(self, *cells: Cell | str) -> None:
        """Add a row with a cell for each column."""
        self._rows.append([plain(c) if isinstance(c, str) else c._replace(text=plain(c.text)) for c in cells])

    def lines(self, width: int | None = None, *, styled: bool = False) -> Iterator[str]:
        """The lines of the table, folded to a terminal's `width` where there is one."""
        headings: list[Cell | str] = [Cell(name, bold=True) for name in self._columns]
        rows = [headings, *self._rows]
        widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
        if width is not None:
            widths = _narrowed(widths, width)
        for row in rows:
            yield from self._row(row, widths, styled=styled)

    def _row(self, row: Sequence[Cell | str], widths: Sequence[int], *, styled: bool) -> Iterator[str]:
        folded = [_fold(cell, width) for cell, width in zip(row, widths, strict=True)]
        for pieces in zip_longest(*folded, fillvalue=""):
            yield _GAP.join(self._aligned(pieces, widths, styled=styled)).rstrip()

    def _aligned(self, pieces: Iterable[Cell | str], widths: Sequence[int], *, styled: bool) -> Iterator[str]:
        for name, piece, width in zip(self._columns, pieces, widths, strict=True):
            padding = " " * (width - _width(piece))
            text = _styled(piece, styled=styled)
            yield padding + text if name in self._right else text + padding


class StandardOutput:
    """Standard output, as a terminal or as a pipe."""

    def __init__(self) -> None:
        self._width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        self._styled = colour.wanted(sys.stdout)

    def print(self, text: str = "", *, bold: bool = False) -> None:
        """Write a line, which has passed `plain`; a terminal folds it, and gives it in one piece when it is copied."""
        self._write([_styled(Cell(text, bold=bold), styled=self._styled)])

    def table(self, table: TextTable) -> None:
        self._write(table.lines(self._width, styled=self._styled))

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
    """Columns that a text takes on a terminal (UAX #11)."""
    text = cell if isinstance(cell, str) else cell.text
    if text.isascii():
        return len(text)
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def _narrowed(widths: Sequence[int], room: int) -> list[int]:
    """Widths that fit into a terminal, as far as possible: the widest columns give way first."""
    room -= len(_GAP) * (len(widths) - 1)
    low, high = _NARROW, max(widths)
    # The largest width that all columns may have so that they fit.
    while low < high:
        middle = (low + high + 1) // 2
        if sum(min(width, middle) for width in widths) <= room:
            low = middle
        else:
            high = middle - 1
    return [min(width, low) for width in widths]


def _fold(cell: Cell | str, width: int) -> list[Cell | str]:
    """The lines of a cell, cut at words where that is possible."""
    size = _width(cell)
    if size <= width:
        return [cell]
    text = _text(cell)
    # Where letters take two columns, half as many fit.
    pieces = wrap(text, max(1, width if size == len(text) else width // 2), break_on_hyphens=False) or [""]
    return [piece if isinstance(cell, str) else cell._replace(text=piece) for piece in pieces]
