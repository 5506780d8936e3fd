from collections.abc import Iterator
from contextlib import suppress
from struct import pack

from fuki_build.errors import FormatError
from fuki_build.formats.uki import efifw


def seeds() -> Iterator[bytes]:
    yield efifw.encode_header("ovmf-amdsev", 64) + bytes(64)
    yield pack("<IIII", efifw.MAGIC, 32, 5, 8) + bytes(range(16)) + b"ovmf\0" + bytes(8)
    yield pack("<xIII", 16, 5, 8) + b"ovmf\0" + bytes(8)


def run(data: bytes) -> None:
    with suppress(FormatError):
        firmware = efifw.decode(data[:8192], len(data))
        assert firmware.fwid
        assert firmware.payload_offset + firmware.payload_size <= len(data)
