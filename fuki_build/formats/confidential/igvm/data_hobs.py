"""What firmware is told of data in an IGVM file: a page of HOBs (hand-off blocks), one for each piece.

Sources: OvmfPkg in edk2 (IndustryStandard/IgvmData.h, PlatformInitLib/Igvm.c, since stable202511); PI 1.8, volume 3,
5.2.
"""

from collections.abc import Iterable, Iterator
from enum import IntEnum
from struct import Struct
from typing import NamedTuple
from uuid import UUID

from fuki_build.errors import FormatError

GUID = UUID("3dd177ff-b632-4e25-bef3-065063d55fc4")
_HOB = Struct("<HH4x16sQQII")  # type, length, name, then address, length, type and flags of the data
_END = Struct("<HH4x")
_GUID_EXTENSION, _END_OF_LIST = 0x0004, 0xFFFF


class DataKind(IntEnum):
    """What the data are for. Keys are authenticated variables; a kernel is any EFI image, so a UKI, too."""

    PK = 0x100
    KEK = 0x101
    DB = 0x102
    DBX = 0x103
    SHIM = 0x200
    KERNEL = 0x201


class DataHob(NamedTuple):
    """Data at `address` in the guest's memory, `size` in bytes; `kind` is a `DataKind`."""

    address: int
    size: int
    kind: int
    flags: int = 0


def encode(hobs: Iterable[DataHob], size: int) -> bytes:
    """The page, or whatever the firmware has for them, of `size` bytes. Raises `FormatError` for too many."""
    name = GUID.bytes_le
    blocks = b"".join(_HOB.pack(_GUID_EXTENSION, _HOB.size, name, *hob) for hob in hobs)
    blocks += _END.pack(_END_OF_LIST, _END.size)
    if len(blocks) > size:
        raise FormatError(f"the firmware has {size} bytes for HOBs, {len(blocks)} are needed")
    return blocks + bytes(size - len(blocks))


def decode(page: bytes) -> tuple[DataHob, ...]:
    """The HOBs of a page, up to the first that is none of them, as edk2 reads it. Never fails."""
    return tuple(_decode(page))


def _decode(page: bytes) -> Iterator[DataHob]:
    at = 0
    while at + _HOB.size <= len(page):
        kind, length, name, *values = _HOB.unpack_from(page, at)
        if kind != _GUID_EXTENSION or length < _HOB.size or at + length > len(page) or name != GUID.bytes_le:
            return
        yield DataHob._make(values)
        at += length
