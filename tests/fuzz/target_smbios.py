from collections.abc import Iterator
from contextlib import suppress
from struct import pack

from fuki_build.errors import FormatError
from fuki_build.formats.hardware import smbios
from fuki_build.hardware.chid import stub_chids
from fuki_build.hardware.machine import from_strings


def _structure(kind: int, formatted: bytes, *strings: bytes) -> bytes:
    return pack("<BBH", kind, 4 + len(formatted), kind) + formatted + b"\0".join(strings) + b"\0\0"


_SYSTEM = _structure(1, bytes([1, 2, 0, 0]) + bytes(17) + bytes([3, 0]), b"Maker", b"Product", b"SKU")
TABLE = (
    _structure(0, bytes([1, 2]) + bytes(14) + bytes([2, 25]), b"Vendor", b"1.0")
    + _SYSTEM
    + _structure(2, bytes([1, 2, 0, 0]), b"Maker", b"Board")
    + _structure(3, bytes([0, 0x8A]) + bytes(15))
    + _structure(127, b"")
)


def dump(table: bytes) -> bytes:
    return pack("<5sBBBBBBBIQ8x", b"_SM3_", 0, 24, 3, 0, 0, 1, 0, len(table), 32) + table


def seeds() -> Iterator[bytes]:
    yield TABLE
    yield dump(TABLE)
    yield dump(_structure(4, bytes(30), b"CPU 0") + _SYSTEM)


def run(data: bytes) -> None:
    with suppress(FormatError):
        machine = smbios.identity(smbios.split_dump(data))
        assert stub_chids(from_strings("x", machine))
