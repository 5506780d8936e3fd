"""Bounded access to bytes that may be hostile."""

from collections.abc import Callable, Iterator
from struct import Struct
from typing import Any

import msgspec

from fuki_build.errors import FormatError

PIECE = 1024 * 1024
"""How many bytes are read at once of what need not be in memory as a whole."""


class Reader(msgspec.Struct, frozen=True):
    """Random access to `size` bytes of any origin.

    `read_at(offset, length)` returns fewer bytes than requested only at the end.
    """

    size: int
    read_at: Callable[[int, int], bytes]

    @classmethod
    def of(cls, data: bytes) -> "Reader":
        return cls(len(data), lambda offset, length: data[offset : offset + length])

    def read(self, offset: int, length: int, description: str) -> bytes:
        """Exactly `length` bytes, or `FormatError` naming `description`."""
        if offset < 0 or length < 0 or offset + length > self.size:
            raise FormatError(
                f"{description} lies outside the data (offset {offset:#x}, {length} bytes, data ends at {self.size:#x})"
            )
        data = self.read_at(offset, length)
        if len(data) != length:
            raise FormatError(f"{description} is cut short (offset {offset:#x})")
        return data

    def window(self, offset: int, size: int) -> "Reader":
        """The part that starts at `offset`; the caller has checked that it is inside."""
        return Reader(size, lambda at, length: self.read_at(offset + at, max(0, min(length, size - at))))


def pieces(data: Reader) -> Iterator[bytes]:
    """All of it, in pieces of at most `PIECE` bytes."""
    for offset in range(0, data.size, PIECE):
        yield data.read_at(offset, PIECE)


def unpack(layout: Struct, data: bytes, offset: int, description: str) -> tuple[Any, ...]:
    """`Struct.unpack_from` that reports short data as a `FormatError` with the `description`."""
    if offset < 0 or offset + layout.size > len(data):
        raise FormatError(
            f"{description} is cut short ({layout.size} bytes expected at {offset:#x}, data ends at {len(data):#x})"
        )
    return layout.unpack_from(data, offset)
