from collections.abc import Iterator
from contextlib import suppress
from struct import pack
from uuid import UUID

from fuki_build.errors import FormatError
from fuki_build.formats.confidential import ovmf
from fuki_build.formats.reader import Reader
from fuki_build.formats.uefi import firmware

from .helper import head, tail


def seeds() -> Iterator[bytes]:
    for build in ("ovmf-generic", "ovmf-inteltdx", "ovmf-2025"):
        yield tail(build, 4096)
    yield head("ovmf-vars", 128)
    yield head("aavmf", 4096 + 128)
    yield pack("<4sIIIII", b"IGVM", 1, 24, 8, 64, 0) + bytes(40)
    yield UUID("6dcbd5ed-e82d-4c44-bda1-7194199ad92a").bytes_le + pack("<III", 28, 0, 40) + bytes(12)


def run(data: bytes) -> None:
    assert str(firmware.recognise(Reader.of(data)))
    with suppress(FormatError):
        metadata = ovmf.decode(Reader.of(data))
        assert metadata is None or len(metadata.entry_names) == len(metadata.entries)
