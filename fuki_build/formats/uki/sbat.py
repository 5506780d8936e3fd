"""`.sbat`: revocation levels of the components of an image (shim's SBAT.md)."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from fuki_build.errors import FormatError

HEADER = "sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md"
_OWN_COMPONENT = "sbat"
UKI_COMPONENT = "uki,1,UKI,uki,1,https://uapi-group.org/specifications/specs/unified_kernel_image/"
ADDON_COMPONENT = (
    "uki-addon,1,UKI Addon,addon,1,https://www.freedesktop.org/software/systemd/man/latest/systemd-stub.html"
)
MAX_SIZE = 1024 * 1024
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"[\r\n\0]+")
_NUMBER = re.compile(r"[0-9]+")
_IMAGE_FIELDS, _LEVEL_FIELDS = 6, 2
_MAX_GENERATION = 0xFFFF
_LONGEST = 12
"""Digits that no generation has."""


class SbatRow(NamedTuple):
    """A row of a table; `generation` is the number that shim parses, 0 if there is none."""

    component: str
    generation: int
    line: str


def decode(data: bytes) -> tuple[SbatRow, ...]:
    """The rows of an image's table, including the one of SBAT itself, as shim reads them (csv.c, sbat.c).

    A leading byte order mark, empty lines, and trailing NULs are skipped. Raises `FormatError` for a line with fewer
    than six fields, or an empty one among these: shim rejects an image for that.
    """
    return tuple(_rows(data, _IMAGE_FIELDS))


def decode_level(data: bytes) -> tuple[SbatRow, ...]:
    """The rows of a revocation level. Raises `FormatError` for anything else."""
    _check_header(data)
    return tuple(_rows(data, _LEVEL_FIELDS))


def parse(data: bytes) -> tuple[str, ...]:
    """The lines of an image's table except the first, which is SBAT's own. Raises `FormatError`.

    Bytes that are no UTF-8 are lone surrogates, so that `merge` writes the same bytes again.
    """
    _check_header(data)
    return tuple(line.decode(errors="surrogateescape") for line in tuple(_lines(data, _IMAGE_FIELDS))[1:])


def _check_header(data: bytes) -> None:
    if not data.removeprefix(_BYTE_ORDER_MARK).lstrip(b"\r\n").startswith(f"{_OWN_COMPONENT},".encode()):
        raise FormatError("the SBAT table does not start with a line 'sbat,…'")


def _rows(data: bytes, count: int) -> Iterator[SbatRow]:
    for line in _lines(data, count):
        text = line.decode(errors="backslashreplace")
        component, generation = text.split(",")[:2]
        yield SbatRow(component, _generation(generation), text)


def _lines(data: bytes, count: int) -> Iterator[bytes]:
    """The lines that are not empty, each with at least `count` fields that are not."""
    for line in filter(None, _LINE_END.split(data.removeprefix(_BYTE_ORDER_MARK))):
        fields = line.split(b",")[:count]
        if len(fields) < count or not all(fields):
            shown = line.decode(errors="backslashreplace")[:80]
            raise FormatError(
                f"the SBAT line {shown!r} does not have {count} fields",
                hint="component,generation,vendor,package,version,url" if count == _IMAGE_FIELDS else None,
            )
        yield line


def _generation(text: str) -> int:
    """The number as shim parses it: C's atoi, cut to 16 bits."""
    match = _NUMBER.match(text.lstrip())
    return int(match[0][:_LONGEST]) & _MAX_GENERATION if match else 0


def problems(rows: Sequence[SbatRow]) -> Iterator[str]:
    """Deviations of an image's table from shim's SBAT.md that shim accepts."""
    generations: dict[str, int] = {}
    for number, row in enumerate(rows):
        shown = repr(row.line[:80])
        if not row.line.isascii():
            yield f"the SBAT line {shown} is not ASCII"
        if row.line.split(",")[1] != str(row.generation) or not row.generation:
            yield f"the SBAT line {shown} has no generation from 1 to {_MAX_GENERATION}"

        if row.component == _OWN_COMPONENT and number:
            yield f"the SBAT line {shown} is a second one for SBAT itself"
        elif generations.setdefault(row.component, row.generation) != row.generation:
            yield f"the SBAT lines of {row.component} have different generations, of which the lowest counts"


def merge(tables: Iterable[Iterable[str]]) -> bytes:
    """One table of the lines of several, as `parse` gives them: in order, without duplicates, under one header line."""
    lines = dict.fromkeys(line for table in tables for line in table)
    return "\n".join((HEADER, *lines, "")).encode(errors="surrogateescape")


def revoked(rows: Iterable[SbatRow], level: Iterable[SbatRow]) -> tuple[str, ...]:
    """The components of an image that a revocation level revokes: those of a lower generation (shim's SBAT.md).

    Each row is compared with every row of the level for its component, including SBAT's own.
    """
    needed: dict[str, int] = {}
    for row in level:
        needed[row.component] = max(row.generation, needed.get(row.component, 0))

    return tuple(
        f"{row.component},{row.generation} (needs {needed[row.component]})"
        for row in rows
        if row.generation < needed.get(row.component, 0)
    )


def generations(rows: Iterable[SbatRow]) -> dict[str, int]:
    """The generation of each component that counts: of several, the lowest."""
    lowest: dict[str, int] = {}
    for row in rows:
        lowest[row.component] = min(row.generation, lowest.get(row.component, row.generation))
    return lowest
