from collections.abc import Iterator
from struct import pack

from fuki_build.formats.uefi import shim


def seeds() -> Iterator[bytes]:
    yield b"\0" * 12 + shim.ORIGINAL_LEVEL + b"\0sbat,1,2025021800\nshim,4\ngrub,5\n\0"
    yield pack("<IIII", 5, 0, 16, 21) + b"\x30\x82\0\1\0"


def run(data: bytes) -> None:
    assert shim.vendor_certificate(data) in data
    assert all(level in data for level in shim.levels(data))
