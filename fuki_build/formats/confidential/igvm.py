"""IGVM files: a guest's memory and registers at launch, for several hypervisors and technologies in one file.

Source: microsoft/igvm, igvm_defs (format versions 1 and 2). The file is a fixed header, variable headers that each have
a type and a length, and the data that these point to.
"""

import zlib
from collections.abc import Callable, Iterator
from enum import IntEnum
from struct import Struct
from typing import Any, NamedTuple

import msgspec

from fuki_build.errors import FormatError
from fuki_build.formats.reader import Reader, unpack

MAGIC = b"IGVM"
PAGE, LARGE_PAGE = 0x1000, 0x200000
_FIXED = Struct("<4sIIIII")  # magic, version, offset and size of the variable headers, file size, checksum
_FIXED_2 = Struct("<II")  # version 2 appends architecture and page size
_HEADER = Struct("<II")  # type, length of the content; each header starts at a multiple of 8
_ALIGNMENT = 8
_CHECKSUM_AT = 20
HEADER_SIZE = _FIXED.size + _FIXED_2.size
"""Bytes that hold the fixed header of every version."""
_OPTIONAL = 0x80000000
"""Bit of a type that tells a loader that it may skip the header if it does not know it."""
MAX_HEADERS = 1 << 18
"""Limit of variable headers that are decoded; each page of memory takes one."""
_MAX_HEADERS_SIZE = MAX_HEADERS * 64


class Architecture(IntEnum):
    X64 = 0
    AARCH64 = 1


class IgvmPlatform(IntEnum):
    """Platforms that a file supports; `SEV` and `SEV_ES` were added for KVM."""

    NATIVE = 0
    VSM = 1
    SEV_SNP = 2
    TDX = 3
    SEV = 4
    SEV_ES = 5


class PageKind(IntEnum):
    NORMAL = 0
    SECRETS = 1
    CPUID = 2
    CPUID_XF = 3


class SupportedPlatform(NamedTuple):
    """One platform, and the bit that stands for it in every other header's `mask`."""

    mask: int
    highest_vtl: int
    platform: int
    version: int
    shared_gpa_boundary: int


class GuestPolicy(NamedTuple):
    policy: int
    mask: int


class ParameterArea(NamedTuple):
    """Memory that the loader fills: `size` bytes, placed by a `ParameterInsert` of the same `area`."""

    size: int
    area: int
    file_offset: int


class PageData(NamedTuple):
    """A page of memory; `file_offset` 0 means zeros. `kind` is a `PageKind`."""

    gpa: int
    mask: int
    file_offset: int
    flags: int
    kind: int

    @property
    def size(self) -> int:
        return LARGE_PAGE if self.flags & 1 else PAGE

    @property
    def unmeasured(self) -> bool:
        return bool(self.flags & 2)

    @property
    def shared(self) -> bool:
        """Visible to the host, and not measured."""
        return bool(self.flags & 4)


class ParameterInsert(NamedTuple):
    gpa: int
    mask: int
    area: int


class VpContext(NamedTuple):
    """A vCPU's registers; for SEV-SNP the file has a VMSA page at `file_offset`."""

    gpa: int
    mask: int
    file_offset: int
    vp_index: int


class RequiredMemory(NamedTuple):
    gpa: int
    mask: int
    size: int
    flags: int


class SnpIdBlock(NamedTuple):
    """The ID block for the launch; signatures and keys are left out."""

    mask: int
    author_key: int
    launch_digest: bytes
    family_id: bytes
    image_id: bytes
    version: int
    svn: int
    id_algorithm: int
    author_algorithm: int


class Parameter(NamedTuple):
    """Content that the loader writes into a parameter area; the type says which, such as a memory map."""

    type: int
    area: int
    offset: int


class Unknown(NamedTuple):
    type: int
    size: int

    @property
    def optional(self) -> bool:
        return bool(self.type & _OPTIONAL)


Directive = (
    SupportedPlatform | GuestPolicy | ParameterArea | PageData | ParameterInsert | VpContext | RequiredMemory
    | SnpIdBlock | Parameter | Unknown
)  # fmt: skip

_KINDS: dict[int, tuple[Struct, Callable[..., Any]]] = {
    0x001: (Struct("<IBBHQ"), SupportedPlatform),
    0x101: (Struct("<QI4x"), GuestPolicy),
    0x301: (Struct("<QII"), ParameterArea),
    0x302: (Struct("<QIIIH2x"), PageData),
    0x303: (Struct("<QII"), ParameterInsert),
    0x304: (Struct("<QIIH2x"), VpContext),
    0x305: (Struct("<QIII4x"), RequiredMemory),
    0x30B: (Struct("<IB3x48s16s16sIIII"), SnpIdBlock),
}
_PARAMETER = Struct("<II")

PARAMETER_NAMES = {
    0x307: "number of vCPUs",
    0x308: "ACPI SRAT",
    0x309: "ACPI MADT",
    0x30A: "MMIO ranges",
    0x30C: "memory map",
    0x30E: "command line",
    0x30F: "ACPI SLIT",
    0x310: "ACPI PPTT",
    0x312: "devicetree",
    0x313: "environment",
}


class FixedHeader(msgspec.Struct, frozen=True):
    """The fixed header; sizes in bytes, `size` that of this header."""

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
        """The headers that apply where `mask`, a platform's bit, is launched; those without a mask always apply."""
        for directive in self.directives:
            if getattr(directive, "mask", mask) & mask:
                yield directive

    def page(self, directive: PageData) -> bytes:
        """A page's content; empty where the file stores none, which means zeros. Raises `FormatError`."""
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
    extension = unpack(_FIXED_2, head, _FIXED.size, "the IGVM header") if version > 1 else (Architecture.X64, PAGE)

    if offset < header_size or offset % _ALIGNMENT or offset + size > total:
        raise FormatError(f"the IGVM header claims {size} bytes of headers at {offset}, the file has {total}")
    if extension[1] != PAGE:
        raise FormatError(f"the IGVM file has pages of {extension[1]} bytes; only {PAGE} are understood")

    return FixedHeader(version, offset, size, total, checksum, header_size, *extension)


def decode(data: Reader) -> Igvm | None:
    """A whole file; None if it is not IGVM. Raises `FormatError` for false sizes or a wrong checksum."""
    header = decode_header(data.read_at(0, HEADER_SIZE))
    if header is None:
        return None

    if header.file_size > data.size:
        raise FormatError(f"the IGVM file claims {header.file_size} bytes, there are {data.size}")
    if header.headers_size > _MAX_HEADERS_SIZE:
        raise FormatError(f"the IGVM file has {header.headers_size} bytes of headers, too many to be one")

    fixed_header = data.read(0, header.headers_offset, "the IGVM header")
    headers = data.read(header.headers_offset, header.headers_size, "the IGVM variable headers")

    # The checksum is over all headers, with its own field as zeros.
    covered = fixed_header[:_CHECKSUM_AT] + bytes(4) + fixed_header[_CHECKSUM_AT + 4 :] + headers
    if zlib.crc32(covered) != header.checksum:
        raise FormatError(f"the IGVM file's checksum is {header.checksum:#010x}, its headers do not have it")

    window = data.window(0, header.file_size)
    return Igvm(header, tuple(_decode_headers(headers)), window)


def _decode_headers(headers: bytes) -> Iterator[Directive]:
    at = count = 0
    while at < len(headers):
        kind, length = unpack(_HEADER, headers, at, "an IGVM variable header")

        start = at + _HEADER.size
        if start + length > len(headers):
            raise FormatError(f"an IGVM variable header of type {kind:#x} claims {length} bytes")

        if (count := count + 1) > MAX_HEADERS:
            raise FormatError(f"the IGVM file has more than {MAX_HEADERS} variable headers")
        yield _decode_one(kind, headers, start, length)

        at = -(-(start + length) // _ALIGNMENT) * _ALIGNMENT


def _decode_one(kind: int, headers: bytes, start: int, length: int) -> Directive:
    if kind in PARAMETER_NAMES and length >= _PARAMETER.size:
        return Parameter(kind, *_PARAMETER.unpack_from(headers, start))
    if kind not in _KINDS:
        return Unknown(kind, length)

    layout, make = _KINDS[kind]
    if length < layout.size:
        raise FormatError(f"an IGVM variable header of type {kind:#x} has {length} bytes, {layout.size} are needed")
    directive: Directive = make(*layout.unpack_from(headers, start))
    return directive
