"""PE/COFF headers (Microsoft PE format specification), as far as EFI images use them.

Each header is a `NamedTuple` whose fields stand in file order, beside the `Struct` that reads and writes it.
Only headers are ever in memory: section contents are handled elsewhere.
"""

from enum import IntEnum
from struct import Struct
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from fuki_build.errors import FormatError
from fuki_build.formats.reader import unpack

HEAD_SIZE = 64 * 1024
"""Bytes from the start of a file that hold the headers of every known stub and kernel (stubs use 20 KiB)."""

PE32, PE32_PLUS = 0x10B, 0x20B
SUBSYSTEM_EFI_APPLICATION = 10
NX_COMPAT = 0x0100
SECURITY_DIRECTORY, RELOCATION_DIRECTORY = 4, 5
SCN_CODE, SCN_DATA, SCN_EXECUTE, SCN_READ, SCN_WRITE = 0x20, 0x40, 0x20000000, 0x40000000, 0x80000000
_MAX_ALIGNMENT = 64 * 1024 * 1024


class CoffMachine(IntEnum):
    """COFF machine types for which EFI is specified, named as in EFI file names."""

    ia32 = 0x014C
    arm = 0x01C2
    riscv64 = 0x5064
    loongarch64 = 0x6264
    x64 = 0x8664
    aa64 = 0xAA64


class CoffHeader(NamedTuple):
    machine: int
    number_of_sections: int
    time_date_stamp: int
    symbol_table: int
    number_of_symbols: int
    size_of_optional_header: int
    characteristics: int


class OptionalHeader(NamedTuple):
    """The PE32+ form; `base_of_data` exists in PE32 only and is 0 elsewhere."""

    magic: int
    major_linker_version: int
    minor_linker_version: int
    size_of_code: int
    size_of_initialized_data: int
    size_of_uninitialized_data: int
    address_of_entry_point: int
    base_of_code: int
    image_base: int
    section_alignment: int
    file_alignment: int
    major_os_version: int
    minor_os_version: int
    major_image_version: int
    minor_image_version: int
    major_subsystem_version: int
    minor_subsystem_version: int
    win32_version: int
    size_of_image: int
    size_of_headers: int
    checksum: int
    subsystem: int
    dll_characteristics: int
    size_of_stack_reserve: int
    size_of_stack_commit: int
    size_of_heap_reserve: int
    size_of_heap_commit: int
    loader_flags: int
    number_of_directories: int
    base_of_data: int = 0


class SectionHeader(NamedTuple):
    raw_name: bytes
    virtual_size: int
    virtual_address: int
    raw_size: int
    raw_offset: int
    relocations: int
    line_numbers: int
    number_of_relocations: int
    number_of_line_numbers: int
    flags: int

    @property
    def name(self) -> str:
        return self.raw_name.rstrip(b"\0").decode("ascii", "backslashreplace")

    @property
    def content_size(self) -> int:
        """Bytes of content without padding: the part of the loaded section that the file holds."""
        return min(self.virtual_size, self.raw_size)


class Directory(NamedTuple):
    address: int
    size: int


_SIGNATURE = b"PE\0\0"
_COFF = Struct("<HHIIIHH")
_OPTIONAL_PLUS = Struct("<HBBIIIIIQIIHHHHHHIIIIHHQQQQII")
_OPTIONAL_32 = Struct("<HBBIIIIIIIIIHHHHHHIIIIHHIIIIII")
_BASE_OF_DATA = 8  # its index among PE32's fields, after base_of_code
_DIRECTORY = Struct("<II")
_SECTION = Struct("<8sIIIIIIHHI")
DIRECTORY_SIZE, SECTION_HEADER_SIZE = _DIRECTORY.size, _SECTION.size
_CHECKSUM_OFFSET = 64  # in the optional header, both forms


class PeHeaders(msgspec.Struct, frozen=True, kw_only=True):
    """All headers of an image. `dos` is everything before the PE signature, kept unchanged."""

    dos: bytes
    coff: CoffHeader
    optional: OptionalHeader
    directories: tuple[Directory, ...]
    sections: tuple[SectionHeader, ...]

    @property
    def optional_offset(self) -> int:
        return len(self.dos) + len(_SIGNATURE) + _COFF.size

    @property
    def checksum_offset(self) -> int:
        return self.optional_offset + _CHECKSUM_OFFSET

    @property
    def size_of_image_offset(self) -> int:
        # SizeOfImage and SizeOfHeaders stand before the checksum.
        return self.checksum_offset - 8

    @property
    def directories_offset(self) -> int:
        return self.optional_offset + _optional_struct(self.optional.magic).size

    @property
    def section_table_offset(self) -> int:
        return self.optional_offset + self.coff.size_of_optional_header

    def virtual_size_offset(self, index: int) -> int:
        """Where the file has the VirtualSize of a section's header."""
        return self.section_table_offset + index * _SECTION.size + 8

    @property
    def security(self) -> Directory:
        """The certificate table's location in the file; zeros where there is none."""
        return self.directories[SECURITY_DIRECTORY] if len(self.directories) > SECURITY_DIRECTORY else Directory(0, 0)

    @property
    def free_slots(self) -> int:
        """Section headers that still fit before the headers end or the first section's data begins."""
        end = self.optional.size_of_headers
        first = min((s.raw_offset for s in self.sections if s.raw_size), default=end)
        used = self.section_table_offset + len(self.sections) * _SECTION.size
        return max(0, min(end, first) - used) // _SECTION.size

    @property
    def machine_name(self) -> str:
        return machine_name(self.coff.machine)

    def with_sections(self, sections: tuple[SectionHeader, ...]) -> "PeHeaders":
        return replace(self, sections=sections, coff=self.coff._replace(number_of_sections=len(sections)))


def machine_name(machine: int) -> str:
    """EFI's name of a COFF machine type, or the number."""
    try:
        return CoffMachine(machine).name
    except ValueError:
        return f"{machine:#06x}"


def _optional_struct(magic: int) -> Struct:
    return _OPTIONAL_PLUS if magic == PE32_PLUS else _OPTIONAL_32


def decode(head: bytes, file_size: int) -> PeHeaders:
    """Decode headers from a file's first bytes.

    `head` is the first `HEAD_SIZE` bytes, or the whole of a smaller file of `file_size` bytes.
    Raises `FormatError` for anything that is not a PE image with all its sections inside the file.
    """
    if head[:2] != b"MZ":
        raise FormatError("not a PE image (no MZ at the start)")
    (pe_offset,) = unpack(Struct("<I"), head, 0x3C, "the DOS header")
    if head[pe_offset : pe_offset + 4] != _SIGNATURE:
        raise FormatError(f"not a PE image (no PE signature at {pe_offset:#x})")

    coff_offset = pe_offset + len(_SIGNATURE)
    coff = CoffHeader._make(unpack(_COFF, head, coff_offset, "the COFF header"))
    optional = _decode_optional(head, coff_offset + _COFF.size, coff.size_of_optional_header)

    headers = PeHeaders(
        dos=head[:pe_offset],
        coff=coff,
        optional=optional,
        directories=_decode_directories(head, coff_offset + _COFF.size, coff, optional),
        sections=tuple(
            SectionHeader._make(unpack(_SECTION, head, at, f"section header {index}"))
            for index, at in enumerate(_section_offsets(coff_offset, coff, len(head)))
        ),
    )

    _check_places(headers, file_size)
    return headers


def _decode_optional(head: bytes, offset: int, size: int) -> OptionalHeader:
    (magic,) = unpack(Struct("<H"), head, offset, "the optional header")
    if magic not in (PE32, PE32_PLUS):
        raise FormatError(f"unknown kind of PE image (optional header magic {magic:#x})")

    layout = _optional_struct(magic)
    if size < layout.size:
        raise FormatError(f"the optional header has {size} bytes, at least {layout.size} are needed")
    values = list(unpack(layout, head, offset, "the optional header"))

    # `OptionalHeader` has PE32's extra field last, so that both forms share the order of the others.
    if magic == PE32:
        values.append(values.pop(_BASE_OF_DATA))

    return OptionalHeader(*values)


def _decode_directories(
    head: bytes, optional_offset: int, coff: CoffHeader, optional: OptionalHeader
) -> tuple[Directory, ...]:
    start = _optional_struct(optional.magic).size
    capacity = (coff.size_of_optional_header - start) // _DIRECTORY.size
    if optional.number_of_directories > capacity:
        raise FormatError(
            f"{optional.number_of_directories} data directories are declared, the header has room for {capacity}"
        )

    return tuple(
        Directory._make(unpack(_DIRECTORY, head, optional_offset + start + i * _DIRECTORY.size, "a data directory"))
        for i in range(optional.number_of_directories)
    )


def _section_offsets(coff_offset: int, coff: CoffHeader, head_size: int) -> range:
    start = coff_offset + _COFF.size + coff.size_of_optional_header
    end = start + coff.number_of_sections * _SECTION.size
    if end > head_size:
        raise FormatError(f"the table of {coff.number_of_sections} sections ends at {end:#x}, beyond the headers")
    return range(start, end, _SECTION.size)


def _check_places(headers: PeHeaders, file_size: int) -> None:
    optional = headers.optional
    for name, value in (("section", optional.section_alignment), ("file", optional.file_alignment)):
        if value == 0 or value & (value - 1) or value > _MAX_ALIGNMENT:
            raise FormatError(f"the {name} alignment {value:#x} is not a sensible power of two")

    table_end = headers.section_table_offset + len(headers.sections) * _SECTION.size
    if not table_end <= optional.size_of_headers <= file_size:
        raise FormatError(f"SizeOfHeaders {optional.size_of_headers:#x} does not hold the headers or exceeds the file")

    for section in headers.sections:
        if section.raw_size and section.raw_offset + section.raw_size > file_size:
            raise FormatError(
                f"section {section.name} ends at {section.raw_offset + section.raw_size:#x}, file at {file_size:#x}"
            )

    security = headers.security
    if security.size and security.address + security.size > file_size:
        raise FormatError("the certificate table lies outside the file")


def encode(headers: PeHeaders) -> bytes:
    """Encode headers, zero-padded to `SizeOfHeaders`. Raises `FormatError` when they do not fit."""
    values = list(headers.optional)
    base_of_data = values.pop()
    if headers.optional.magic == PE32:
        values.insert(_BASE_OF_DATA, base_of_data)

    data = headers.dos + _SIGNATURE + _COFF.pack(*headers.coff)
    data += _optional_struct(headers.optional.magic).pack(*values)
    data += b"".join(_DIRECTORY.pack(*d) for d in headers.directories)

    data = data.ljust(headers.section_table_offset, b"\0")
    data += b"".join(_SECTION.pack(*s) for s in headers.sections)

    if len(data) > headers.optional.size_of_headers:
        raise FormatError(f"{len(headers.sections)} section headers do not fit into the image's header")
    return data.ljust(headers.optional.size_of_headers, b"\0")


def align(value: int, alignment: int) -> int:
    return -(-value // alignment) * alignment
