"""SMBIOS tables as firmware writes them (DMTF DSP0134 3.7, chapter 6 and 7), with a machine's strings."""

from collections.abc import Mapping
from struct import pack
from typing import Any

ENTRY_POINT_SIZE = 24
DUMP_TABLE_OFFSET = 32
END = 127

T440S: Mapping[str, Any] = {
    "bios_vendor": "LENOVO",
    "bios_version": "GJET75WW (2.25 )",
    "manufacturer": "LENOVO",
    "product": "20ARS19C0C",
    "sku": "LENOVO_MT_20AR_BU_Think_FM_ThinkPad T440s",
    "family": "ThinkPad T440s",
    "baseboard_manufacturer": "LENOVO",
    "baseboard_product": "20ARS19C0C",
}
"""The strings of the laptop that fwupd tests its own implementation with; its BIOS is release 2.25."""


def structure(kind: int, formatted: bytes, *strings: bytes) -> bytes:
    """One structure; `formatted` is what stands between header and strings."""
    text = b"".join(string + b"\0" for string in strings) or b"\0"
    return pack("<BBH", kind, 4 + len(formatted), kind) + formatted + text + b"\0"


def _numbers(values: Mapping[str, str], *names: str) -> tuple[list[int], list[bytes]]:
    """The strings that are there, and each field's string number; 0 where it has none."""
    present = [name for name in names if name in values]
    return [present.index(name) + 1 if name in present else 0 for name in names], [values[n].encode() for n in present]


def bios(values: Mapping[str, str], release: tuple[int, int] | None = (2, 25)) -> bytes:
    (vendor, version), strings = _numbers(values, "bios_vendor", "bios_version")
    head = bytes([vendor, version]) + pack("<HBBQ", 0xE000, 0, 1, 0)
    # Before SMBIOS 2.4 the structure ended here.
    tail = bytes([0, 0, *release, 0xFF, 0xFF]) if release else b""
    return structure(0, head + tail, *strings)


def system(values: Mapping[str, str]) -> bytes:
    (maker, product, sku, family), strings = _numbers(values, "manufacturer", "product", "sku", "family")
    return structure(1, bytes([maker, product, 0, 0]) + bytes(16) + bytes([6, sku, family]), *strings)


def baseboard(values: Mapping[str, str]) -> bytes:
    (maker, product), strings = _numbers(values, "baseboard_manufacturer", "baseboard_product")
    return structure(2, bytes([maker, product, 0, 0]), *strings)


def enclosure(kind: int = 10) -> bytes:
    return structure(3, bytes([0, kind, 0, 0, 0, 3, 3, 3, 3]) + bytes(4) + bytes([0, 1, 0, 0]))


def end() -> bytes:
    return structure(END, b"")


def table(
    values: Mapping[str, str] = T440S, release: tuple[int, int] | None = (2, 25), enclosure_kind: int = 10
) -> bytes:
    """One structure of each kind that hardware ids are made of; a string that is left out has no number."""
    return bios(values, release) + system(values) + baseboard(values) + enclosure(enclosure_kind) + end()


def entry_point(structures: bytes) -> bytes:
    """The 64-bit entry point of a dump's table (DSP0134, 5.2.2)."""
    data = pack("<5sBBBBBBBIQ", b"_SM3_", 0, ENTRY_POINT_SIZE, 3, 0, 0, 1, 0, len(structures), DUMP_TABLE_OFFSET)
    return data[:5] + bytes([-sum(data) & 0xFF]) + data[6:]


def dump(structures: bytes) -> bytes:
    """What `dmidecode --dump-bin` writes."""
    return entry_point(structures).ljust(DUMP_TABLE_OFFSET, b"\0") + structures
