"""GPT: the partition table of a disk, as firmware measures it.

Sources: UEFI 2.10, 5.3; TCG, "PC Client Platform Firmware Profile" 1.06, 10.2.5 (UEFI_GPT_DATA); edk2's
DxeTpm2MeasureBootLib.c (Tcg2MeasureGptTable).
"""

import struct
import zlib

from fuki_build.errors import FormatError
from fuki_build.formats.reader import Reader

SECTOR_SIZES = (512, 4096)
"""Sizes of a disk's sectors in bytes; the header is in the second one."""
_HEADER = struct.Struct("<8sIIII4Q16sQIII")  # as UEFI's table 5.5 has it
_SIGNATURE = b"EFI PART"
_CRC_AT = 16
_COUNT = struct.Struct("<Q")
_TYPE_SIZE = 16
_ENTRY_SIZE = 128
_MAX_ENTRIES = 1024 * 1024
"""Bytes of the largest array of entries that is read; usual ones have 16 KiB."""


def measured(disk: Reader) -> bytes:
    """The data that firmware measures of its boot disk: header, number of partitions, and their entries.

    Empty for a disk without a GPT. Raises `FormatError` for a damaged one: firmware then uses its copy.
    """
    for sector in SECTOR_SIZES:
        if disk.size >= sector + _HEADER.size and disk.read(sector, 8, "the signature") == _SIGNATURE:
            return _measured(disk, sector)
    return b""


def _measured(disk: Reader, sector: int) -> bytes:
    header = disk.read(sector, _HEADER.size, "the header of the partition table")
    _, _, size, crc, _, _, _, _, _, _, start, count, entry_size, entries_crc = _HEADER.unpack(header)

    # The header's checksum covers all of its declared size, with its own field as zeros.
    if not _HEADER.size <= size <= sector:
        raise FormatError(f"the header of the partition table says that it has {size} bytes")
    whole = bytearray(disk.read(sector, size, "the header of the partition table"))
    whole[_CRC_AT : _CRC_AT + 4] = bytes(4)
    if zlib.crc32(whole) != crc:
        raise FormatError("the header of the partition table is damaged: its checksum is wrong")

    if entry_size < _ENTRY_SIZE or count * entry_size > _MAX_ENTRIES:
        raise FormatError(f"the partition table has {count} entries of {entry_size} bytes, which is beyond belief")
    array = disk.read(start * sector, count * entry_size, "the entries of the partition table")
    if zlib.crc32(array) != entries_crc:
        raise FormatError("the entries of the partition table are damaged: their checksum is wrong")

    # Unused entries, whose type is zero, are not measured.
    entries = [array[at : at + entry_size] for at in range(0, len(array), entry_size)]
    used = [entry for entry in entries if any(entry[:_TYPE_SIZE])]
    return header + _COUNT.pack(len(used)) + b"".join(used)
