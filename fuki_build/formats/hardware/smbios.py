"""SMBIOS tables (DMTF DSP0134): the structures of types 0 to 3, whose strings identify a machine."""

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

from fuki_build.errors import FormatError

ENTRY_POINT_32, ENTRY_POINT_64 = b"_SM_", b"_SM3_"
DUMP_TABLE_OFFSET = 32
"""Offset of the structures in a file that `dmidecode --dump-bin` wrote."""
MAX_SIZE = 16 * 1024 * 1024

_HEADER = Struct("<BBH")  # type, length of the formatted area, handle
_END_OF_TABLE = 127


class Structure(NamedTuple):
    """One structure: `data` is its formatted area with the header, `strings` are numbered from 1."""

    kind: int
    data: bytes
    strings: tuple[bytes, ...]

    def text(self, offset: int) -> str:
        """The string whose number stands at `offset`; empty where there is none.

        Bytes that are not UTF-8, as in firmware that writes Latin-1, become lone surrogates (PEP 383); the code that
        hashes the string decides how to encode them.
        """
        number = self.data[offset] if offset < len(self.data) else 0
        text = self.strings[number - 1] if 0 < number <= len(self.strings) else b""
        return text.decode("utf-8", "surrogateescape")

    def byte(self, offset: int) -> int | None:
        return self.data[offset] if offset < len(self.data) else None


def structures(table: bytes) -> Iterator[Structure]:
    """The structures of a table, up to its end mark. Raises `FormatError` where one is cut short."""
    if len(table) > MAX_SIZE:
        raise FormatError(f"an SMBIOS table of {len(table)} bytes is beyond belief")
    at = 0

    while at + _HEADER.size <= len(table):
        kind, length, _ = _HEADER.unpack_from(table, at)
        if length < _HEADER.size or at + length > len(table):
            raise FormatError(f"the SMBIOS structure at {at:#x} claims {length} bytes")

        end = table.find(b"\0\0", at + length)
        if end < 0:
            raise FormatError(f"the strings of the SMBIOS structure at {at:#x} have no end")

        strings = tuple(table[at + length : end].split(b"\0")) if end > at + length else ()

        yield Structure(kind, table[at : at + length], strings)
        if kind == _END_OF_TABLE:
            return
        at = end + 2


def readable(text: str) -> str:
    r"""A string from SMBIOS with escapes such as `\xe9` for bytes that are not UTF-8."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def identity(table: bytes) -> dict[str, str]:
    """The strings that hardware ids are computed from, by the names of `hardware.machine.Machine`'s fields.

    Numbers are written as fwupd writes them: two hexadecimal digits for the BIOS release, plain hexadecimal for the
    enclosure. Raises `FormatError` for a damaged table, or one without a system structure.
    """
    strings: dict[str, str] = {}
    for structure in structures(table):
        for name, text in _FIELDS.get(structure.kind, _nothing)(structure):
            strings.setdefault(name, text)

    if "manufacturer" not in strings:
        raise FormatError("the SMBIOS table has no system structure (type 1)")

    return strings


def _nothing(_: Structure) -> list[tuple[str, str]]:
    return []


def _bios(structure: Structure) -> list[tuple[str, str]]:
    fields = [("bios_vendor", structure.text(4)), ("bios_version", structure.text(5))]
    major, minor = structure.byte(0x14), structure.byte(0x15)
    # 0xFF means that the firmware does not tell (DSP0134, 7.1); fwupd hashes it all the same.
    if major is not None and minor is not None:
        fields += [("bios_major", f"{major:02x}"), ("bios_minor", f"{minor:02x}")]
    return fields


def _system(structure: Structure) -> list[tuple[str, str]]:
    return [
        ("manufacturer", structure.text(4)),
        ("product", structure.text(5)),
        ("sku", structure.text(0x19)),
        ("family", structure.text(0x1A)),
    ]


def _baseboard(structure: Structure) -> list[tuple[str, str]]:
    return [("baseboard_manufacturer", structure.text(4)), ("baseboard_product", structure.text(5))]


def _enclosure(structure: Structure) -> list[tuple[str, str]]:
    kind = structure.byte(5)
    # With bit 7, which tells whether there is a lock, as in fwupd.
    return [("enclosure_type", f"{kind:x}")] if kind is not None else []


_FIELDS = {0: _bios, 1: _system, 2: _baseboard, 3: _enclosure}


def split_dump(data: bytes) -> bytes:
    """The structures from a dump of `dmidecode --dump-bin`, or from the bare table in /sys/firmware/dmi/tables/DMI."""
    if data.startswith((ENTRY_POINT_32, ENTRY_POINT_64)):
        return data[DUMP_TABLE_OFFSET:]
    return data
