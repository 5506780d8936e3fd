"""The table of hashes that a hypervisor places in an SEV guest when it boots a kernel directly.

Source: OvmfPkg/AmdSev/BlobVerifierLibSevHashes in edk2, and target/i386/sev.c in QEMU, which agree on it.
"""

from struct import Struct
from uuid import UUID

from fuki_build.errors import FormatError

_HEADER = UUID("9438d606-4f22-4cc9-b479-a793d411fd21")
_CMDLINE = UUID("97d02dd8-bd20-4c94-aa78-e7714d36ab2a")
_INITRD = UUID("44baf731-3a2f-4bd7-9af1-41e29169781d")
_KERNEL = UUID("4de79437-abd2-427f-b835-d5b172d2045b")

_GUID_AND_LENGTH = Struct("<16sH")
_ENTRY = Struct("<16sH32s")
_LENGTH = _GUID_AND_LENGTH.size + 3 * _ENTRY.size
SIZE = -(-_LENGTH // 16) * 16
"""Bytes of the table with its padding, as it is measured."""
PAGE = 0x1000


def encode(kernel: bytes, initrd: bytes, cmdline: bytes) -> bytes:
    """The table of three SHA-256 digests; the command line is hashed with its NUL, an absent part as empty."""
    table = _GUID_AND_LENGTH.pack(_HEADER.bytes_le, _LENGTH)
    for guid, digest in ((_CMDLINE, cmdline), (_INITRD, initrd), (_KERNEL, kernel)):
        table += _ENTRY.pack(guid.bytes_le, _ENTRY.size, digest)
    return table.ljust(SIZE, b"\0")


def page(table: bytes, address: int) -> bytes:
    """The page that holds `table` at `address`. Raises `FormatError` where it would not fit into one page."""
    offset = address % PAGE
    if offset + len(table) > PAGE:
        raise FormatError(f"the kernel hashes at {address:#x} would cross the end of a page")
    return (bytes(offset) + table).ljust(PAGE, b"\0")
