"""What a hypervisor does with an IGVM file to start a native guest: memory to write, and the CPU's registers.

Source: microsoft/igvm, igvm_defs; QEMU's backends/igvm.c and target/i386/igvm.c.
"""

from collections.abc import Iterable, Iterator, Mapping
from struct import Struct
from typing import NamedTuple

import msgspec
from fuki_build.errors import FormatError
from fuki_build.formats.confidential import igvm
from fuki_build.formats.confidential.igvm import native_context
from fuki_build.formats.confidential.igvm.native_context import NativeRegisters
from fuki_build.formats.reader import Reader

_MEMORY_MAP_ENTRY = Struct("<QQHHI")  # first page, number of pages, type, flags, reserved
_MEMORY = 0
_BELOW_4G, _SPLIT_AT = 0x80000000, 0xB0000000
"""A q35 machine with this much memory or more has 2 GiB of it below 4 GiB (QEMU, pc_q35.c)."""
_MAX_AREA, _MAX_AREAS = 16 * 1024 * 1024, 16
_MAX_MEMORY = 512 * 1024 * 1024


class MemoryRange(NamedTuple):
    address: int
    size: int


class Piece(NamedTuple):
    """Bytes of the guest's memory."""

    address: int
    data: bytes

    @property
    def end(self) -> int:
        return self.address + len(self.data)


class NativeStart(msgspec.Struct, frozen=True):
    """Pieces do not overlap, and stand in ascending order; neighbours are joined."""

    memory: tuple[Piece, ...]
    registers: NativeRegisters


def memory_of_q35(size: int) -> tuple[MemoryRange, ...]:
    """Where a machine of `size` bytes has its memory."""
    if size < _SPLIT_AT:
        return (MemoryRange(0, size),)
    return MemoryRange(0, _BELOW_4G), MemoryRange(1 << 32, size - _BELOW_4G)


def read_start(file: bytes, memory: Iterable[MemoryRange], vcpus: int = 1) -> NativeStart:
    """How a file starts a native guest. Raises `FormatError` for one that cannot."""
    decoded = igvm.decode(Reader.of(file))
    if decoded is None:
        raise FormatError("this is no IGVM file")
    mask = next((p.mask for p in decoded.platforms if p.platform == igvm.IgvmPlatform.NATIVE), None)
    if mask is None:
        raise FormatError("the IGVM file is for no native guest", hint="wrap the firmware with --platform native")
    directives = tuple(decoded.of(mask))
    contexts = [d.file_offset for d in directives if isinstance(d, igvm.VpContext)]
    if not contexts:
        raise FormatError("the IGVM file does not say with which registers a native guest starts")
    context = decoded.data.read(contexts[0], native_context.SIZE, "the registers")
    places = [d for d in directives if isinstance(d, igvm.PageData)]
    inserts = [d for d in directives if isinstance(d, igvm.ParameterInsert)]
    # An empty page takes 2 MiB of the guest, and nothing of the file.
    if sum(page.size for page in places) > _MAX_MEMORY or len(inserts) > _MAX_AREAS:
        raise FormatError(f"the IGVM file fills more than {_MAX_MEMORY >> 20} MiB of memory")
    pages = {page.gpa: decoded.page(page).ljust(page.size, b"\0") for page in places}
    for insert in inserts:
        pages[insert.gpa] = _parameters(decoded, insert.area, tuple(memory), vcpus)
    return NativeStart(tuple(_joined(pages)), native_context.decode(context))


def _parameters(decoded: igvm.Igvm, index: int, memory: tuple[MemoryRange, ...], vcpus: int) -> bytes:
    """An area filled in. QEMU puts a memory map at its start, whatever the file says."""
    areas = [d for d in decoded.directives if isinstance(d, igvm.ParameterArea) and d.area == index]
    if not areas or areas[0].size > _MAX_AREA:
        raise FormatError(f"the IGVM file has no parameter area {index}, or a very large one")
    area = bytearray(areas[0].size)
    for parameter in decoded.directives:
        if not isinstance(parameter, igvm.Parameter) or parameter.area != index:
            continue
        if parameter.type == igvm.MEMORY_MAP:
            content, at = b"".join(_memory_map(memory)), 0
        elif parameter.type == igvm.VP_COUNT:
            content, at = vcpus.to_bytes(4, "little"), parameter.offset
        else:
            continue
        if at + len(content) > len(area):
            raise FormatError(f"the parameter area {index} is too small for what it is to hold")
        area[at : at + len(content)] = content
    return bytes(area)


def _memory_map(memory: tuple[MemoryRange, ...]) -> Iterator[bytes]:
    """An entry for each range, and one of no pages for the end."""
    for address, size in (*memory, MemoryRange(0, 0)):
        yield _MEMORY_MAP_ENTRY.pack(address // igvm.PAGE, size // igvm.PAGE, _MEMORY, 0, 0)


def _joined(pages: Mapping[int, bytes]) -> Iterator[Piece]:
    run: list[bytes] = []
    start = end = 0
    for address in sorted(pages):
        if run and address != end:
            yield Piece(start, b"".join(run))
            run = []
        if not run:
            start = address
        run.append(pages[address])
        end = address + len(pages[address])
    if run:
        yield Piece(start, b"".join(run))
