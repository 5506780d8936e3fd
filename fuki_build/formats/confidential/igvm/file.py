"""IGVM files as a whole: a fixed header, variable headers, and the data that these point to.

Source: microsoft/igvm, igvm_defs (format versions 1 and 2).
"""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from itertools import islice
from struct import Struct

import msgspec

from fuki_build.errors import FormatError
from fuki_build.formats.confidential.igvm.headers import (
    ALIGNMENT,
    HEADER,
    PAGE,
    Directive,
    PageData,
    SupportedPlatform,
    VpContext,
    decode_directive,
    encode_directive,
    encoded_size,
)
from fuki_build.formats.reader import Reader, unpack

MAGIC = b"IGVM"
_FIXED = Struct("<4sIIIII")  # magic, version, offset and size of the variable headers, file size, checksum
_FIXED_2 = Struct("<II")  # version 2 appends architecture and page size
_CHECKSUM_AT = 20
HEADER_SIZE = _FIXED.size + _FIXED_2.size
"""Bytes that hold the fixed header of every version."""
MAX_HEADERS = 1 << 18
"""Variable headers that are decoded; each page of memory takes one."""
_MAX_HEADERS_SIZE = MAX_HEADERS * 64
_MAX_FILE_SIZE = (1 << 32) - 1


class Architecture(IntEnum):
    X64 = 0
    AARCH64 = 1


class FixedHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What a file says of itself; sizes in bytes."""

    version: int
    headers_offset: int
    headers_size: int
    file_size: int
    checksum: int
    size: int
    architecture: int = Architecture.X64
    page_size: int = PAGE


class Igvm(msgspec.Struct, frozen=True):
    """A decoded file: its headers in file order, and access to the data behind them."""

    header: FixedHeader
    directives: tuple[Directive, ...]
    data: Reader

    @property
    def platforms(self) -> tuple[SupportedPlatform, ...]:
        return tuple(d for d in self.directives if isinstance(d, SupportedPlatform))

    def of(self, mask: int) -> Iterator[Directive]:
        """The headers that count where `mask`, a platform's bit, is launched; those without a mask count everywhere."""
        for directive in self.directives:
            if getattr(directive, "mask", mask) & mask:
                yield directive

    def page(self, directive: PageData) -> bytes:
        """A page's content; empty where the file has none, which stands for zeros. Raises `FormatError`."""
        if not directive.file_offset:
            return b""
        return self.data.read(directive.file_offset, directive.size, f"the page at {directive.gpa:#x}")

    def context(self, directive: VpContext) -> bytes:
        """The page of registers of a vCPU. Raises `FormatError`."""
        return self.data.read(directive.file_offset, PAGE, f"the registers of vCPU {directive.vp_index}")


def decode_header(head: bytes) -> FixedHeader | None:
    """The fixed header from a file's first `HEADER_SIZE` bytes; None if it is not an IGVM file.

    Raises `FormatError` for an inconsistent header.
    """
    if len(head) < _FIXED.size or head[:4] != MAGIC:
        return None

    _, version, offset, size, total, checksum = _FIXED.unpack_from(head)
    if version not in (1, 2):
        raise FormatError(f"the IGVM file has version {version}; 1 and 2 are known")

    # Version 2 appends architecture and page size; version 1 implies them.
    header_size = _FIXED.size + (_FIXED_2.size if version > 1 else 0)
    architecture, page_size = Architecture.X64, PAGE
    if version > 1:
        architecture, page_size = unpack(_FIXED_2, head, _FIXED.size, "the IGVM header")

    if offset < header_size or offset % ALIGNMENT or offset + size > total:
        raise FormatError(f"the IGVM header claims {size} bytes of headers at {offset}, the file has {total}")
    if page_size != PAGE:
        raise FormatError(f"the IGVM file has pages of {page_size} bytes; only {PAGE} are understood")

    return FixedHeader(
        version=version,
        headers_offset=offset,
        headers_size=size,
        file_size=total,
        checksum=checksum,
        size=header_size,
        architecture=architecture,
        page_size=page_size,
    )


def decode(data: Reader) -> Igvm | None:
    """A whole file; None if it is not IGVM. Raises `FormatError` for false sizes or a wrong checksum."""
    header = decode_header(data.read_at(0, HEADER_SIZE))
    if header is None:
        return None

    if header.file_size > data.size:
        raise FormatError(f"the IGVM file claims {header.file_size} bytes, there are {data.size}")
    if header.headers_size > _MAX_HEADERS_SIZE:
        raise FormatError(f"the IGVM file has {header.headers_size} bytes of headers, too many to be one")

    fixed = data.read(0, header.headers_offset, "the IGVM header")
    headers = data.read(header.headers_offset, header.headers_size, "the IGVM variable headers")
    if _checksum(fixed, headers) != header.checksum:
        raise FormatError(f"the IGVM file's checksum is {header.checksum:#010x}, its headers do not have it")

    window = data.window(0, header.file_size)
    return Igvm(header, tuple(_decode_headers(headers)), window)


def _decode_headers(headers: bytes) -> Iterator[Directive]:
    at = count = 0
    while at < len(headers):
        kind, length = unpack(HEADER, headers, at, "an IGVM variable header")
        start = at + HEADER.size
        if start + length > len(headers):
            raise FormatError(f"an IGVM variable header of type {kind:#x} claims {length} bytes")
        if (count := count + 1) > MAX_HEADERS:
            raise FormatError(f"the IGVM file has more than {MAX_HEADERS} variable headers")
        yield decode_directive(kind, headers[start : start + length])
        at = -(-(start + length) // ALIGNMENT) * ALIGNMENT


def data_offset(directives: Iterable[Directive], version: int = 1) -> int:
    """Where data start in a file with headers like these, whatever their values: what file offsets count from."""
    return _fixed_size(version) + sum(encoded_size(directive) for directive in directives)


def encode_head(
    directives: Sequence[Directive], data_size: int, version: int = 1, architecture: int = Architecture.X64
) -> bytes:
    """Everything before the `data_size` bytes of data, which start at `data_offset(directives)`.

    Offsets in the directives count from the start of the file. Raises `FormatError` for content that does not fit.
    """
    if version not in (1, 2):
        raise FormatError(f"IGVM files of version {version} are not known, only 1 and 2")
    if next(islice(directives, MAX_HEADERS, None), None) is not None:
        raise FormatError(f"an IGVM file would need more than {MAX_HEADERS} variable headers")

    headers = b"".join(encode_directive(directive) for directive in directives)
    start = _fixed_size(version)
    size = start + len(headers) + data_size
    if size > _MAX_FILE_SIZE:
        raise FormatError(f"an IGVM file has less than 4 GiB, this one would have {size} bytes")

    extension = _FIXED_2.pack(architecture, PAGE) if version > 1 else b""
    unchecked = _FIXED.pack(MAGIC, version, start, len(headers), size, 0) + extension
    checksum = _checksum(unchecked, headers)
    return _FIXED.pack(MAGIC, version, start, len(headers), size, checksum) + extension + headers


def encode(
    directives: Sequence[Directive], data: bytes, version: int = 1, architecture: int = Architecture.X64
) -> bytes:
    """A whole file. Raises `FormatError` as `encode_head` does."""
    return encode_head(directives, len(data), version, architecture) + data


def _fixed_size(version: int) -> int:
    return _FIXED.size + (_FIXED_2.size if version > 1 else 0)


def _checksum(fixed: bytes, headers: bytes) -> int:
    """CRC-32 of both with the checksum's own field as zeros."""
    return zlib.crc32(headers, zlib.crc32(fixed[:_CHECKSUM_AT] + bytes(4) + fixed[_CHECKSUM_AT + 4 :]))
