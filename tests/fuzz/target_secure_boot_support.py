import lzma
from collections.abc import Iterator
from struct import pack
from uuid import UUID

from fuki_build.formats.uefi import secure_boot_support

_LZMA = UUID("ee4e5898-3914-4259-9d6e-dc7bd79403cf").bytes_le


def seeds() -> Iterator[bytes]:
    for content in ("SecureBootEnable".encode("utf-16-le"), bytes(2 << 20)):
        yield bytes(8) + _LZMA + pack("<HH", 24, 1) + lzma.compress(content, lzma.FORMAT_ALONE)


def run(data: bytes) -> None:
    assert secure_boot_support.enforces_secure_boot(data) in {True, False, None}
