"""Headers of an EFI application without code, which addons stand on that have no stub."""

from msgspec.structs import replace

from fuki_build.formats.pe.pe import (
    DIRECTORY_SIZE,
    NX_COMPAT,
    PE32,
    PE32_PLUS,
    SECTION_HEADER_SIZE,
    SUBSYSTEM_EFI_APPLICATION,
    CoffHeader,
    CoffMachine,
    Directory,
    OptionalHeader,
    PeHeaders,
    align,
)

_PE_OFFSET = 0x40
_DIRECTORIES = 16


def minimal_image(machine: CoffMachine, slots: int) -> PeHeaders:
    """Headers with space for `slots` section headers.

    32-bit machines get PE32, as their firmware expects; everything that a loader does not need is zero.
    """
    magic = PE32 if machine in (CoffMachine.ia32, CoffMachine.arm) else PE32_PLUS

    optional = OptionalHeader(*[0] * len(OptionalHeader._fields))._replace(
        magic=magic,
        section_alignment=0x1000,
        file_alignment=0x200,
        size_of_image=0x1000,
        subsystem=SUBSYSTEM_EFI_APPLICATION,
        dll_characteristics=NX_COMPAT,
        number_of_directories=_DIRECTORIES,
    )

    coff = CoffHeader(
        machine=machine,
        number_of_sections=0,
        time_date_stamp=0,
        symbol_table=0,
        number_of_symbols=0,
        size_of_optional_header=0,
        # Executable, no line numbers or local symbols, no debug information; large addresses or 32-bit words.
        characteristics=0x020E | (0x0100 if magic == PE32 else 0x0020),
    )

    headers = PeHeaders(
        dos=b"MZ".ljust(_PE_OFFSET - 4, b"\0") + _PE_OFFSET.to_bytes(4, "little"),
        coff=coff,
        optional=optional,
        directories=(Directory(0, 0),) * _DIRECTORIES,
        sections=(),
    )
    return _with_sizes(headers, slots)


def _with_sizes(headers: PeHeaders, slots: int) -> PeHeaders:
    """The headers with the sizes that they have of themselves: of the optional header, and of all together."""
    directories_end = headers.directories_offset + len(headers.directories) * DIRECTORY_SIZE
    used = directories_end + slots * SECTION_HEADER_SIZE

    return replace(
        headers,
        coff=headers.coff._replace(size_of_optional_header=directories_end - headers.optional_offset),
        optional=headers.optional._replace(size_of_headers=align(used, headers.optional.file_alignment)),
    )
