"""A finished image taken apart into what it was made of: the stub as it was before, and the sections added to it.

Tools append sections to a stub (UAPI.5), so its own come first. They are those up to the last one with a name that
stubs' linkers give, or `.sbat`, before the first section that only images have. The fields of the headers that adding
sections changes are computed back.
"""

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from fuki_build.errors import FormatError
from fuki_build.formats.pe.pe import SECURITY_DIRECTORY, Directory, PeHeaders
from fuki_build.formats.uki import pcrsig
from fuki_build.image.blob import Blob
from fuki_build.image.hand_over import read_table
from fuki_build.image.layout import Layout, PlacedSection
from fuki_build.image.section import HAND_OVER, STUB_MEASURED, STUB_OWN, Section
from fuki_build.image.stub import Stub, check_placed

_OF_IMAGES = frozenset((*STUB_MEASURED, pcrsig.SECTION, HAND_OVER)) - {".sbat"}
FROM_BASE = "base"
"""The source of sections that stay what they were in a base image."""
_MAX_STUB = 16 * 1024 * 1024
"""Bytes of a stub's sections; systemd's have some 150 KiB."""
_MAX_ZEROS = 16 * 1024 * 1024
"""Bytes, over all sections, that are in memory only."""


class ImageParts(Struct, frozen=True):
    """A stub, without sections for an image that has none, and the other sections in the order of the image.

    Contents of sections are as the stub sees them in memory: zeros follow where the file has less.
    """

    stub: Stub
    sections: tuple[Section, ...]


def take_apart(layout: Layout) -> ImageParts:
    """The parts of an image that was read. Raises `FormatError` for one that tools did not make by appending."""
    count = _stub_size(layout.sections)
    own, added = layout.sections[:count], layout.sections[count:]
    for placed in added:
        if placed.name in STUB_OWN:
            raise FormatError(f"its section {placed.name}, which is a stub's, stands behind those of images")

    headers = _headers(layout, own, added)
    check_placed(headers)
    if sum(placed.header.raw_size for placed in own) > _MAX_STUB:
        raise FormatError(f"its stub has more than {_MAX_STUB} bytes")

    file = layout.file or Blob()
    contents = tuple(_raw_content(placed, file) for placed in own)
    stub = Stub(Path(layout.where or layout.name), headers, contents, layout.stub)
    return ImageParts(stub, tuple(_in_memory(added)))


def _stub_size(sections: Sequence[PlacedSection]) -> int:
    """The number of sections of the stub."""
    first = next((index for index, placed in enumerate(sections) if placed.name in _OF_IMAGES), len(sections))
    linked = [index for index, placed in enumerate(sections[:first]) if placed.name in STUB_OWN]
    if not linked:
        return 0
    return max(index for index in range(first) if sections[index].name in {*STUB_OWN, ".sbat"}) + 1


def _raw_content(placed: PlacedSection, file: Blob) -> bytes:
    header = placed.header
    return file.read_at(header.raw_offset, header.raw_size) if header.raw_size else b""


def _in_memory(sections: Sequence[PlacedSection]) -> Sequence[Section]:
    """The sections with the zeros that follow their content in memory, which the stub measures, too."""
    missing = [max(0, placed.header.virtual_size - placed.section.content.size) for placed in sections]
    if sum(missing) > _MAX_ZEROS:
        raise FormatError(f"its sections claim {sum(missing)} bytes in memory beyond what is in the file")

    filled = []
    for placed, zeros in zip(sections, missing, strict=True):
        section = placed.section
        content = section.content + Blob.of_bytes(bytes(zeros)) if zeros else section.content
        filled.append(Section(name=section.name, content=content, source=FROM_BASE, profile=section.profile))
    return filled


def _headers(layout: Layout, own: Sequence[PlacedSection], added: Sequence[PlacedSection]) -> PeHeaders:
    """The stub's headers, as they were before sections were added."""
    headers = layout.headers
    program = next((placed for placed in added if placed.name == HAND_OVER), None)
    names = {placed.name for placed in own}
    data = sum(p.header.virtual_size for p in added if p is not program and p.name not in names)
    optional = headers.optional
    optional = optional._replace(
        # Tools that count otherwise must not leave a number below zero.
        size_of_initialized_data=max(0, optional.size_of_initialized_data - data),
    )

    if program is not None:
        optional = optional._replace(
            address_of_entry_point=_stub_entry(layout, program),
            size_of_code=max(0, optional.size_of_code - program.header.raw_size),
        )
    if own and not any(_holds(placed, optional.address_of_entry_point) for placed in own):
        raise FormatError(f"it starts at {optional.address_of_entry_point:#x}, which is not in its stub")

    directories = list(headers.directories)
    if len(directories) > SECURITY_DIRECTORY:
        directories[SECURITY_DIRECTORY] = Directory(0, 0)
    stub = PeHeaders(dos=headers.dos, coff=headers.coff, optional=optional, directories=tuple(directories), sections=())
    return stub.with_sections(tuple(placed.header for placed in own))


def _stub_entry(layout: Layout, program: PlacedSection) -> int:
    """Where the stub starts: its table says so of an image that starts with a hand-over program."""
    table = read_table(program.section)
    if layout.headers.optional.address_of_entry_point != program.header.virtual_address + table.entry:
        raise FormatError(f"it has a {HAND_OVER}, and starts elsewhere")
    return table.stub_entry


def _holds(placed: PlacedSection, address: int) -> bool:
    start = placed.header.virtual_address
    return start <= address < start + max(placed.header.virtual_size, placed.header.raw_size)
