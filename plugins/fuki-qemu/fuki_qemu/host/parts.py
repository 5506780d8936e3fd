"""What a guest on a host that takes firmware is made of: the host's file, and the firmware that it is to run then."""

from collections.abc import Mapping
from pathlib import Path

from fuki_build import Layout
from fuki_build.errors import FormatError, FukiError
from fuki_build.formats.confidential import igvm
from fuki_build.formats.confidential.igvm import data_hobs
from fuki_build.formats.reader import Reader
from fuki_build.formats.uefi import volumes
from fuki_build.image.blob import Blob
from fuki_build.image.firmware import slices
from fuki_build.image.wrapping import WrapSettings, wrap

from fuki_qemu.host.native_start import MemoryRange, Piece, read_start

TOP = 1 << 32
_MAX_FILE = 1 << 30


def host_file(firmware: Path) -> bytes:
    """The IGVM file that the host starts guests from: `firmware` itself, or a wrapped OVMF image.

    Raises `FukiError`.
    """
    blob = Blob.of_file(firmware)
    try:
        if blob.read_at(0, 4) == b"IGVM":
            return blob.read_small(_MAX_FILE, str(firmware))
        wrapped = wrap(blob, WrapSettings(platforms=(igvm.IgvmPlatform.NATIVE,)))
        return wrapped.read_small(_MAX_FILE, str(firmware))
    except FormatError as error:
        raise error.at(str(firmware)) from error


def rom_of(file: bytes, memory: tuple[MemoryRange, ...]) -> bytes:
    """The firmware that a file puts below 4 GiB; empty where it puts none there. Raises `FormatError`."""
    pieces = [piece for piece in read_start(file, memory).memory if piece.end == TOP]
    return pieces[0].data if pieces else b""


def payloads(layout: Layout, profile: int | None) -> Mapping[str, bytes]:
    """The image's firmware that is an IGVM file, by fwid, for a profile."""
    found: dict[str, bytes] = {}
    for part in slices(layout.plain_sections):
        if part.profile not in {None, profile}:
            continue
        for image in part.firmware:
            if image.fwid is not None and image.payload.read_at(0, 4) == b"IGVM":
                found[image.fwid] = image.payload.read_small(_MAX_FILE, image.fwid)
    return found


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
        for hob in data_hobs.decode(piece.data):
            if hob.kind == data_hobs.DataKind.KERNEL:
                return _read(pieces, hob.address, hob.size)
    return None


def _read(pieces: tuple[Piece, ...], address: int, size: int) -> bytes:
    for piece in pieces:
        if piece.address <= address and address + size <= piece.end:
            return piece.data[address - piece.address :][:size]
    raise FukiError(f"the file has no data at {address:#x}, where it says that they are")
