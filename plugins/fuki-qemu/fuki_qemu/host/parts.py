"""What IGVM files put into a guest: firmware, and an image that it is to start."""

from collections.abc import Iterator

from fuki_build.errors import FormatError, FukiError
from fuki_build.formats.confidential import igvm
from fuki_build.formats.confidential.igvm import data_hobs
from fuki_build.formats.reader import Reader
from fuki_build.formats.uefi import volumes

from fuki_qemu.host.native_start import MemoryRange, Piece, read_start

TOP = 1 << 32
_HOB_HEADER = 8


def rom_of(file: bytes, memory: tuple[MemoryRange, ...]) -> bytes:
    """The firmware that a file puts below 4 GiB; empty where it puts none there. Raises `FormatError`."""
    pieces = [piece for piece in read_start(file, memory).memory if piece.end == TOP]
    return pieces[0].data if pieces else b""


def is_running(file: bytes, memory: tuple[MemoryRange, ...], below_4g: bytes) -> bool:
    """Whether the pages of a file's firmware are what the guest has below 4 GiB, variables aside."""
    try:
        rom = rom_of(file, memory)
    except FormatError:
        return False
    if not rom or len(rom) > len(below_4g):
        return False
    running = bytearray(below_4g[-len(rom) :])
    for volume in volumes.volumes(Reader.of(rom)):
        if volume.file_system == volumes.VARIABLES:
            inside = slice(volume.offset, volume.offset + volume.size)
            running[inside] = rom[inside]
    return bytes(running) == rom


def carried_kernel(file: bytes, memory: tuple[MemoryRange, ...]) -> bytes | None:
    """The EFI program that a file brings for its firmware to start, told of in HOBs; None where it brings none."""
    pieces = read_start(file, memory).memory
    for piece in pieces:
        for at in _hob_pages(piece.data):
            for hob in data_hobs.decode(piece.data[at : at + igvm.PAGE]):
                if hob.kind == data_hobs.DataKind.KERNEL:
                    return _read(pieces, hob.address, hob.size)
    return None


def _hob_pages(data: bytes) -> Iterator[int]:
    """Pages that start with the HOB of some data: its GUID stands behind a header of 8 bytes."""
    at = data.find(data_hobs.GUID.bytes_le)
    while at >= 0:
        if at % igvm.PAGE == _HOB_HEADER:
            yield at - _HOB_HEADER
        at = data.find(data_hobs.GUID.bytes_le, at + 1)


def _read(pieces: tuple[Piece, ...], address: int, size: int) -> bytes:
    for piece in pieces:
        if piece.address <= address and address + size <= piece.end:
            return piece.data[address - piece.address :][:size]
    raise FukiError(f"the file has no data at {address:#x}, where it says that they are")
