"""Sections, and the files of a firmware volume (PI 1.8, volume 3, 3.2; MdePkg/Include/Pi/PiFirmwareFile.h in edk2)."""

from collections.abc import Iterator
from enum import IntEnum
from struct import Struct
from typing import NamedTuple
from uuid import UUID

from fuki_build.errors import FormatError
from fuki_build.formats.uefi import volumes

_FILE = Struct("<16sHBB3sB")  # name, checksums, type, attributes, size, state; then a wide size in large files
_WIDE_SIZE = Struct("<Q")
_LARGE_FILE = 0x01
_PAD_FILE = 0xF0
_FREE = b"\xff" * _FILE.size
_FILE_ALIGNMENT = 8
_SECTION = Struct("<3sB")  # size, type; then a wide size in large sections
_WIDE_SECTION = Struct("<I")
_LARGE_SECTION = b"\xff\xff\xff"
_SECTION_ALIGNMENT = 4
_EXTENDED_HEADER = Struct("<16sI")  # name of the volume, size of the header
_HEADER_TAIL = Struct("<HHHBB")  # length of the header, checksum, offset of the extended header, reserved, revision
_TAIL_OFFSET = 48
_MAX_PARTS = 4096


class SectionType(IntEnum):
    PE32 = 0x10
    TE = 0x12
    VOLUME = 0x17


class FileType(IntEnum):
    PEI_CORE = 0x04


class VolumeSection(NamedTuple):
    """A section's type, and its content with the offset at which that starts."""

    type: int
    offset: int
    content: bytes


class VolumeFile(NamedTuple):
    """A file's name and type, and its content with the offset at which that starts in the volume."""

    name: UUID
    type: int
    offset: int
    content: bytes


def sections(data: bytes) -> Iterator[VolumeSection]:
    """The sections, one behind the other. Raises `FormatError` for one that is cut short."""
    at = 0
    for _ in range(_MAX_PARTS):
        if at + _SECTION.size > len(data):
            return
        narrow, kind = _SECTION.unpack_from(data, at)
        header, size = _SECTION.size, int.from_bytes(narrow, "little")
        if narrow == _LARGE_SECTION and at + header + _WIDE_SECTION.size <= len(data):
            (size,) = _WIDE_SECTION.unpack_from(data, at + header)
            header += _WIDE_SECTION.size

        if not header <= size <= len(data) - at:
            raise FormatError(f"a firmware section at {at:#x} claims {size} bytes")
        yield VolumeSection(kind, at + header, data[at + header : at + size])
        at = _aligned(at + size, _SECTION_ALIGNMENT)


def files(volume: bytes) -> Iterator[VolumeFile]:
    """The files of a volume, without padding. Raises `FormatError` for one that is cut short."""
    at = _first_file(volume)
    for _ in range(_MAX_PARTS):
        if volume[at : at + _FILE.size] == _FREE or at + _FILE.size > len(volume):
            return
        name, _, kind, attributes, narrow, _ = _FILE.unpack_from(volume, at)
        header, size = _FILE.size, int.from_bytes(narrow, "little")
        if attributes & _LARGE_FILE and at + header + _WIDE_SIZE.size <= len(volume):
            (size,) = _WIDE_SIZE.unpack_from(volume, at + header)
            header += _WIDE_SIZE.size

        if not header <= size <= len(volume) - at:
            raise FormatError(f"a firmware file at {at:#x} claims {size} bytes")
        if kind != _PAD_FILE:
            yield VolumeFile(UUID(bytes_le=name), kind, at + header, volume[at + header : at + size])
        at = _aligned(at + size, _FILE_ALIGNMENT)


def _first_file(volume: bytes) -> int:
    """Files start behind the header, or behind the extended one, at a multiple of 8."""
    if volumes.volume_at(volume, 0) is None:
        raise FormatError("this is no firmware volume")
    length, _, extended, _, _ = _HEADER_TAIL.unpack_from(volume, _TAIL_OFFSET)
    if not extended:
        return _aligned(length, _FILE_ALIGNMENT)
    if extended + _EXTENDED_HEADER.size > len(volume):
        raise FormatError(f"a firmware volume has its extended header at {extended:#x}, behind its end")
    _, size = _EXTENDED_HEADER.unpack_from(volume, extended)
    return _aligned(extended + size, _FILE_ALIGNMENT)


def _aligned(offset: int, alignment: int) -> int:
    return -(-offset // alignment) * alignment
