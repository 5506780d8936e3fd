"""The TD HOB: the list of memory that the hypervisor hands a TDX guest's firmware, as QEMU writes it.

Sources: PI 1.8, volume 3, 5 (hand-off blocks); Intel, "TDX Virtual Firmware Design Guide", 4.2; what QEMU's
hw/i386/tdvf-hob.c and pc_q35.c do. Its digests are those in published logs of guests with 2, 4 and 64 GiB.
"""

from collections.abc import Iterator, Sequence
from struct import Struct
from typing import NamedTuple

from fuki_build.errors import FormatError
from fuki_build.formats.confidential.ovmf import TdxKind, TdxSection

_HEADER = Struct("<HHI")  # type, length, reserved
_HANDOFF = Struct("<IIQQQQQ")  # version, boot mode, tops and bottoms of memory, end of the list
_RESOURCE = Struct("<16sIIQQ")  # owner, type, attributes, start, length
_HANDOFF_TYPE, _RESOURCE_TYPE = 0x0001, 0x0003
_VERSION = 9
_ATTRIBUTES = 0x7  # present, initialised, tested
_SYSTEM_MEMORY, _UNACCEPTED_MEMORY = 0, 7

_HIGH = 1 << 32
_MOST_LOW, _LOW_OF_MORE = 0xB0000000, 0x80000000
"""q35 has less memory than the first below 4 GiB; guests with more have the second there, and the rest above."""
_ACCEPTED = (TdxKind.TD_HOB, TdxKind.TEMP_MEM)


class _Span(NamedTuple):
    start: int
    end: int


class _Memory(NamedTuple):
    kind: int
    start: int
    size: int


def encode(memory: int, sections: Sequence[TdxSection]) -> bytes:
    """The list for a guest of QEMU q35 with so many bytes of memory, whose firmware has these sections.

    Raises `FormatError` where no such guest starts.
    """
    places = [section.address for section in sections if section.kind == TdxKind.TD_HOB]
    if len(places) != 1:
        raise FormatError(f"it has {len(places)} places for a TD HOB, and needs one")

    areas = tuple(_areas(memory))
    accepted = [_Span(one.address, one.address + one.memory_size) for one in sections if one.kind in _ACCEPTED]
    if not all(any(area.start <= span.start < span.end <= area.end for area in areas) for span in accepted):
        raise FormatError(f"its sections do not fit into {memory} bytes of memory")

    blocks = b"".join(_resource(part) for area in areas for part in _parts(area, sorted(accepted)))
    size = 2 * _HEADER.size + _HANDOFF.size + len(blocks)
    head = _HEADER.pack(_HANDOFF_TYPE, _HEADER.size + _HANDOFF.size, 0)
    return head + _HANDOFF.pack(_VERSION, 0, 0, 0, 0, 0, places[0] + size) + blocks


def _areas(memory: int) -> Iterator[_Span]:
    low = memory if memory < _MOST_LOW else _LOW_OF_MORE
    yield _Span(0, low)
    if memory > low:
        yield _Span(_HIGH, _HIGH + memory - low)


def _parts(area: _Span, accepted: Sequence[_Span]) -> Iterator[_Memory]:
    """An area of memory, cut where the hypervisor has accepted some for the firmware."""
    at = area.start
    for span in accepted:
        if not area.start <= span.start < area.end:
            continue
        if span.start < at:
            raise FormatError("its sections overlap")
        if span.start > at:
            yield _Memory(_UNACCEPTED_MEMORY, at, span.start - at)
        yield _Memory(_SYSTEM_MEMORY, span.start, span.end - span.start)
        at = span.end
    if at < area.end:
        yield _Memory(_UNACCEPTED_MEMORY, at, area.end - at)


def _resource(part: _Memory) -> bytes:
    head = _HEADER.pack(_RESOURCE_TYPE, _HEADER.size + _RESOURCE.size, 0)
    return head + _RESOURCE.pack(bytes(16), part.kind, _ATTRIBUTES, part.start, part.size)
