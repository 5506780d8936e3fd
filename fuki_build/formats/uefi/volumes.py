"""Firmware volumes of a firmware image (PI specification, volume 3; MdePkg/Include/Pi/PiFirmwareVolume.h in edk2)."""

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple
from uuid import UUID

from fuki_build.formats.reader import Reader

FFS2 = UUID("8c8ce578-8a3d-4f1c-9935-896185c32dd3")
FFS3 = UUID("5473c07a-3dcb-4dca-bd6f-1e9689e7349a")
VARIABLES = UUID("fff12b8d-7696-4c8b-a985-2747075b4f50")

FILE_SYSTEM_NAMES = {FFS2: "FFS 2", FFS3: "FFS 3", VARIABLES: "variables"}

STEP = 0x1000
"""Volumes in virtual machines' images start at multiples of this."""
HEADER = Struct("<16sQ4sIH")  # file system, length, _FVH, attributes, header length; the zero vector stands before it
_ZERO_VECTOR = 16
_MAGIC = b"_FVH"
_MAX_IMAGE = 256 * 1024 * 1024


class Volume(NamedTuple):
    """One volume: its offset in the image, and its size in bytes according to its header."""

    offset: int
    size: int
    file_system: UUID

    @property
    def name(self) -> str:
        return FILE_SYSTEM_NAMES.get(self.file_system, str(self.file_system))


def volume_at(head: bytes, offset: int, base: int = 0) -> Volume | None:
    """The volume whose header is at `offset` in `head`, a part of the image that starts at `base`."""
    start = offset + _ZERO_VECTOR
    if start + HEADER.size > len(head):
        return None
    guid, size, magic, _, header_size = HEADER.unpack_from(head, start)
    if magic != _MAGIC or not HEADER.size + _ZERO_VECTOR <= header_size <= size:
        return None
    return Volume(base + offset, size, UUID(bytes_le=guid))


def volumes(image: Reader) -> Iterator[Volume]:
    """Every volume that is completely inside an image, in order; anything between volumes is skipped."""
    at = 0
    end = min(image.size, _MAX_IMAGE)
    while at < end:
        volume = volume_at(image.read_at(at, _ZERO_VECTOR + HEADER.size), 0, at)
        if volume and at + volume.size <= image.size:
            yield volume
            at = -(-(at + volume.size) // STEP) * STEP
        else:
            at += STEP
