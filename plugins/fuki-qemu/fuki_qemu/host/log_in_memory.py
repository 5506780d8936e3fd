"""The event log of a guest that waits, found in its memory: nobody else can tell it before the next start."""

from collections.abc import Callable, Iterable
from struct import Struct

from fuki_qemu.host.native_start import MemoryRange

_SIGNATURE = b"Spec ID Event03\0"
_FIRST = Struct("<II20sI")
_HEAD = Struct("<III")  # register, type, number of digests
_DIGEST_SIZES = {0x0004: 20, 0x000B: 32, 0x000C: 48, 0x000D: 64, 0x0012: 32}
_NO_ACTION = 3
_CHUNK = 64 * 1024 * 1024
_MAX_LOG = 1024 * 1024
_BELOW_4G = 1 << 32


def find(read_memory: Callable[[int, int], bytes], memory: Iterable[MemoryRange]) -> bytes | None:
    """The log; None where there is none. Firmware keeps it near the end of the memory below 4 GiB."""
    for address, size in memory:
        if address >= _BELOW_4G:
            continue
        end = address + size
        while end > address:
            start = max(address, end - _CHUNK)
            data = read_memory(start, end - start)
            at = data.rfind(_SIGNATURE)
            while at >= 0:
                log = cut(data[max(0, at - _FIRST.size) : at + _MAX_LOG])
                if log is not None:
                    return log
                at = data.rfind(_SIGNATURE, 0, at)
            end = start
    return None


def cut(data: bytes) -> bytes | None:
    """The log at the start of `data`, without what is behind it; None where there is none of more than its head."""
    if len(data) < _FIRST.size:
        return None
    register, kind, digest, size = _FIRST.unpack_from(data)
    end = first_end = _FIRST.size + size
    if register or kind != _NO_ACTION or any(digest) or not data.startswith(_SIGNATURE, _FIRST.size):
        return None
    while (following := _event_end(data, end)) is not None:
        end = following
    return data[:end] if end > first_end else None


def _event_end(data: bytes, at: int) -> int | None:
    """Where the event at `at` ends; None where there is none: memory behind the log holds zeros, or anything."""
    if at + _HEAD.size > len(data):
        return None
    register, _, count = _HEAD.unpack_from(data, at)
    if register > 23 or not 0 < count <= len(_DIGEST_SIZES):
        return None
    at += _HEAD.size
    for _ in range(count):
        size = _DIGEST_SIZES.get(int.from_bytes(data[at : at + 2], "little"))
        if size is None:
            return None
        at += 2 + size
    end = at + 4 + int.from_bytes(data[at : at + 4], "little")
    return end if at + 4 <= len(data) and end <= len(data) else None
