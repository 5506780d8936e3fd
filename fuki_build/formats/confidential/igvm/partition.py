"""A partition that holds one IGVM file, for hypervisors that read guests' disks: its size, then the file.

Source: proposed by Dionna Glaze for F-UKIs (mailing list, June 2025); no hypervisor is known to read it yet.
"""

from struct import Struct
from uuid import UUID

from fuki_build.errors import FormatError
from fuki_build.formats.reader import Reader

TYPE = UUID("c647e858-c402-4d1e-9497-95ff0a4b4465")
"""The partition's type in a GPT."""
SECTOR = 4096
"""The image is made of whole sectors of this size, which suits disks with smaller ones, too."""
_SIZE = Struct("<I")


def encode_prefix(file_size: int) -> bytes:
    """What stands before the file. Raises `FormatError` for a file of 4 GiB or more."""
    if not 0 < file_size < 1 << 32:
        raise FormatError(f"a partition holds an IGVM file of less than 4 GiB, this one has {file_size} bytes")
    return _SIZE.pack(file_size)


def padding(file_size: int) -> int:
    """Zeros behind the file."""
    return -(_SIZE.size + file_size) % SECTOR


def decode(partition: Reader) -> Reader:
    """The file in a partition. Raises `FormatError` for a size that cannot be."""
    (size,) = _SIZE.unpack(partition.read(0, _SIZE.size, "the size of the IGVM file"))
    if not 0 < size <= partition.size - _SIZE.size:
        raise FormatError(f"the partition claims a file of {size} bytes, and has {partition.size} itself")
    return partition.window(_SIZE.size, size)
