"""The variable headers of IGVM files: one table of fields that serves reading and writing.

Source: microsoft/igvm, igvm_defs (format versions 1 and 2).
"""

import struct
from collections.abc import Callable, Mapping
from enum import IntEnum
from struct import Struct
from typing import Any, NamedTuple

from fuki_build.errors import FormatError

PAGE, LARGE_PAGE = 0x1000, 0x200000
ALIGNMENT = 8
"""Each header starts at a multiple of this."""
HEADER = Struct("<II")
"""Type, and length of the content behind it."""
_OPTIONAL = 0x80000000
"""Bit of a type that a loader may skip if it does not know it."""


class IgvmPlatform(IntEnum):
    """What a file can be launched on; `SEV` and `SEV_ES` are additions of the KVM side."""

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


class PageFlag(IntEnum):
    """Bits of a `PageData`'s flags."""

    LARGE = 1
    UNMEASURED = 2
    SHARED = 4


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
        return LARGE_PAGE if self.flags & PageFlag.LARGE else PAGE

    @property
    def unmeasured(self) -> bool:
        return bool(self.flags & PageFlag.UNMEASURED)

    @property
    def shared(self) -> bool:
        """Visible to the host, and no part of the measurement."""
        return bool(self.flags & PageFlag.SHARED)


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
    """The ID block that a loader is to launch with.

    Signatures are r and s, 72 bytes each, little endian; keys are the curve, 4 reserved bytes, and x and y likewise.
    """

    mask: int
    author_key_enabled: int
    launch_digest: bytes
    family_id: bytes
    image_id: bytes
    version: int
    svn: int
    id_algorithm: int
    author_algorithm: int
    id_signature: bytes
    id_key: bytes
    author_signature: bytes
    author_key: bytes


class Parameter(NamedTuple):
    """What the loader writes into a parameter area: the type tells what, such as a memory map."""

    type: int
    area: int
    offset: int


class Unknown(NamedTuple):
    type: int
    content: bytes

    @property
    def optional(self) -> bool:
        return bool(self.type & _OPTIONAL)


Directive = (
    SupportedPlatform | GuestPolicy | ParameterArea | PageData | ParameterInsert | VpContext | RequiredMemory
    | SnpIdBlock | Parameter | Unknown
)  # fmt: skip

_KINDS: Mapping[int, tuple[Struct, Callable[..., Any]]] = {
    0x001: (Struct("<IBBHQ"), SupportedPlatform),
    0x101: (Struct("<QI4x"), GuestPolicy),
    0x301: (Struct("<QII"), ParameterArea),
    0x302: (Struct("<QIIIH2x"), PageData),
    0x303: (Struct("<QII"), ParameterInsert),
    0x304: (Struct("<QIIH2x"), VpContext),
    0x305: (Struct("<QIII4x"), RequiredMemory),
    0x30B: (Struct("<IB3x48s16s16sIIII144s152s144s152s"), SnpIdBlock),
}
_TYPES: Mapping[object, int] = {make: number for number, (_, make) in _KINDS.items()}
_PARAMETER = Struct("<II")

VP_COUNT, MEMORY_MAP = 0x307, 0x30C
"""Types of a `Parameter`: the number of vCPUs, and the guest's memory."""
PARAMETER_NAMES = {
    VP_COUNT: "number of vCPUs",
    0x308: "ACPI SRAT",
    0x309: "ACPI MADT",
    0x30A: "MMIO ranges",
    MEMORY_MAP: "memory map",
    0x30E: "command line",
    0x30F: "ACPI SLIT",
    0x310: "ACPI PPTT",
    0x312: "devicetree",
    0x313: "environment",
}


def decode_directive(kind: int, content: bytes) -> Directive:
    """One header from its type and content. Raises `FormatError` for content that is too short."""
    if kind in PARAMETER_NAMES and len(content) >= _PARAMETER.size:
        return Parameter(kind, *_PARAMETER.unpack_from(content))
    if kind not in _KINDS:
        return Unknown(kind, content)
    layout, make = _KINDS[kind]
    if len(content) < layout.size:
        raise FormatError(
            f"an IGVM variable header of type {kind:#x} has {len(content)} bytes, {layout.size} are needed"
        )
    directive: Directive = make(*layout.unpack_from(content))
    return directive


def encode_directive(directive: Directive) -> bytes:
    """A header with its type and length, padded to where the next one starts.

    Raises `FormatError` for a value that does not fit.
    """
    kind, content = _encode_content(directive)
    return HEADER.pack(kind, len(content)) + content + bytes(-len(content) % ALIGNMENT)


def encoded_size(directive: Directive) -> int:
    """Bytes of `encode_directive`, whatever the values."""
    match directive:
        case Unknown():
            content = len(directive.content)
        case Parameter():
            content = _PARAMETER.size
        case _:
            content = _KINDS[_TYPES[type(directive)]][0].size
    return HEADER.size + content + -content % ALIGNMENT


def _encode_content(directive: Directive) -> tuple[int, bytes]:
    if isinstance(directive, Unknown):
        return directive.type, directive.content
    values: tuple[object, ...] = directive
    try:
        if isinstance(directive, Parameter):
            return directive.type, _PARAMETER.pack(*values[1:])
        kind = _TYPES[type(directive)]
        return kind, _KINDS[kind][0].pack(*values)
    except struct.error as error:
        raise FormatError(f"{directive} does not fit into an IGVM header") from error
