import lzma
from collections.abc import Iterator
from contextlib import suppress
from struct import pack
from uuid import UUID

from fuki_build.errors import FormatError
from fuki_build.formats.uefi.firmware_files import files, sections
from fuki_build.formats.uefi.measured_firmware import measured_firmware
from tests.formats.test_measured_firmware import section, volume

_LZMA = UUID("ee4e5898-3914-4259-9d6e-dc7bd79403cf").bytes_le


def seeds() -> Iterator[bytes]:
    contents = section(0x17, volume("1.0")) + section(0x17, volume(""))
    yield contents
    yield volume("1.0")
    yield bytes(8) + _LZMA + pack("<HH", 24, 1) + lzma.compress(contents, lzma.FORMAT_ALONE)


def run(data: bytes) -> None:
    for parse in (sections, files):
        with suppress(FormatError):
            list(parse(data))
    with suppress(FormatError):
        measured_firmware(data)
