"""Plan an image: decide every offset and address, before any byte is written."""

from collections.abc import Iterable
from itertools import pairwise

from msgspec.structs import replace

from fuki_build.errors import FukiError
from fuki_build.formats.pe import pe
from fuki_build.formats.pe.minimal_image import minimal_image
from fuki_build.formats.pe.pe import PeHeaders, SectionHeader
from fuki_build.image.blob import BLOCK, Blob, FilePart
from fuki_build.image.hand_over import read_table
from fuki_build.image.image import Image
from fuki_build.image.layout import Layout, PlacedSection, numbered
from fuki_build.image.section import HAND_OVER, Origin, Section

_DATA_FLAGS = pe.SCN_DATA | pe.SCN_READ
# Kernels with the EFI handover protocol run in place, inside the loaded section.
_LINUX_FLAGS = pe.SCN_CODE | pe.SCN_READ
_PROGRAM_FLAGS = pe.SCN_CODE | pe.SCN_EXECUTE | pe.SCN_READ
_FLAGS = {".linux": _LINUX_FLAGS, HAND_OVER: _PROGRAM_FLAGS}
_MAX_OFFSET = 0xFFFFFFFF
_LARGE = 1024 * 1024
"""Bytes of a file from which on it is placed so that the image can share its blocks."""
_SPARE_SLOTS = 15
"""Free section headers in an image made without a stub, as many as in systemd's addon stub."""


def plan(image: Image) -> Layout:
    """Decide every offset and address: sections are appended to the stub as UAPI.5 and the PE format require.

    Raises `FukiError` if a PE image cannot be that large. Too many sections for the header, or a `.sbat` that does not
    fit, still give a layout, which can be shown; writing it is refused.
    """
    headers, sections = _stub_sections(image)
    of_stub = range(len(sections))

    alignment = headers.optional.file_alignment
    end = max([headers.optional.size_of_headers, *(s.header.raw_offset + s.header.raw_size for s in sections)])

    last = _end_of_memory(sections)

    for section in image.sections:
        if _replace(sections, of_stub, section):
            last = _end_of_memory(sections)
            continue

        offset = pe.align(end, alignment)
        if image.share_blocks and len(sections) > len(of_stub):
            sections[-1] = _widened(sections[-1], _distance_to_shared(section.content, offset), alignment)
            offset = sections[-1].header.raw_offset + sections[-1].header.raw_size

        placed = _placed(headers, section, last, offset)
        end = placed.header.raw_offset + placed.header.raw_size
        last = max(last, placed.header.virtual_address + placed.header.virtual_size)
        sections.append(placed)

    file_size = pe.align(end, alignment)

    return Layout(
        kind=image.kind,
        name=image.name,
        headers=_finish(headers, sections, image),
        sections=numbered(sections),
        file_size=file_size,
        stub=image.stub.version if image.stub else None,
        where=image.where,
    )


def _stub_sections(image: Image) -> tuple[PeHeaders, list[PlacedSection]]:
    if image.stub is None:
        return minimal_image(image.machine, len(image.sections) + _SPARE_SLOTS), []

    stub = image.stub

    placed = [
        PlacedSection(
            Section(
                name=header.name,
                content=Blob.of_bytes(content[: header.content_size]),
                source="stub",
                origin=Origin.STUB,
            ),
            header,
        )
        for header, content in zip(stub.headers.sections, stub.contents, strict=True)
    ]

    return stub.headers, placed


def _replace(sections: list[PlacedSection], of_stub: Iterable[int], section: Section) -> bool:
    """Replace the content of a section that the stub already has (`.sbat`); its address and size limit stay."""
    for index in of_stub:
        placed = sections[index]
        if placed.name == section.name and placed.section.origin is Origin.STUB:
            header = placed.header._replace(virtual_size=section.content.size)
            sections[index] = PlacedSection(section, header)
            return True
    return False


def _end_of_memory(sections: Iterable[PlacedSection]) -> int:
    return max((s.header.virtual_address + s.header.virtual_size for s in sections), default=1)


def _distance_to_shared(content: Blob, offset: int) -> int:
    """Bytes by which content at `offset` has to move, so that its first large part can share blocks with its file."""
    for at, part in content.placed():
        if part.size >= _LARGE:
            start = part.offset if isinstance(part, FilePart) else 0
            return (start - offset - at) % BLOCK
    return 0


def _widened(placed: PlacedSection, distance: int, alignment: int) -> PlacedSection:
    """The section with `distance` more zeros behind it in the file, if it can have them.

    Bytes between sections, which belong to none, would be hashed twice by firmware.
    """
    header = placed.header
    if distance % alignment or not header.raw_size:
        return placed
    return replace(placed, header=header._replace(raw_size=header.raw_size + distance))


def shares_blocks(layout: Layout) -> bool:
    """Whether an image that was read was planned with `share_blocks`: it has zeros that nothing else would ask for."""
    alignment = layout.headers.optional.file_alignment
    return any(
        before.header.raw_size > pe.align(before.section.content.size, alignment)
        and large.section.content.size >= _LARGE
        and large.header.raw_offset % BLOCK == 0
        for before, large in pairwise(layout.sections)
    )


def _placed(headers: PeHeaders, section: Section, last: int, offset: int) -> PlacedSection:
    """A section behind all others, which end in memory at `last`."""
    size = section.content.size
    address = pe.align(last, headers.optional.section_alignment)
    raw_size = pe.align(size, headers.optional.file_alignment)

    if max(address + size, offset + raw_size) > _MAX_OFFSET:
        raise FukiError(
            f"section {section.name} would end beyond 4 GiB, which no PE image can",
            hint="make the initrd smaller, or move content out of it",
        )

    header = SectionHeader(
        raw_name=section.name.encode().ljust(8, b"\0"),
        virtual_size=size,
        virtual_address=address,
        raw_size=raw_size,
        raw_offset=offset,
        relocations=0,
        line_numbers=0,
        number_of_relocations=0,
        number_of_line_numbers=0,
        flags=_FLAGS.get(section.name, _DATA_FLAGS),
    )

    return PlacedSection(section, header)


def _finish(headers: PeHeaders, sections: list[PlacedSection], image: Image) -> PeHeaders:
    """Update the fields that depend on all sections. The checksum stays 0: EFI ignores it."""
    added = [s for s in sections if s.section.origin is Origin.RECIPE]
    optional = headers.optional
    characteristics = optional.dll_characteristics

    if any(kernel.headers is not None and not kernel.nx_compat for kernel in image.kernels):
        # Firmware that enforces NX would not start this kernel from an image that declares it.
        characteristics &= ~pe.NX_COMPAT

    end = max((s.header.virtual_address + s.header.virtual_size for s in sections), default=0)
    old = {s.raw_name for s in headers.sections}
    program = next((s for s in added if s.name == HAND_OVER), None)
    optional = optional._replace(
        checksum=0,
        dll_characteristics=characteristics,
        size_of_image=pe.align(end, optional.section_alignment),
        size_of_initialized_data=optional.size_of_initialized_data
        + sum(s.header.virtual_size for s in added if s.header.raw_name not in old and s is not program),
    )
    if program is not None:
        optional = optional._replace(
            size_of_code=optional.size_of_code + program.header.raw_size,
            address_of_entry_point=program.header.virtual_address + read_table(program.section).entry,
        )
    # A symbol table stands behind the sections and is not copied.
    coff = headers.coff._replace(symbol_table=0, number_of_symbols=0)

    changed = PeHeaders(dos=headers.dos, coff=coff, optional=optional, directories=headers.directories, sections=())
    return changed.with_sections(tuple(s.header for s in sections))
