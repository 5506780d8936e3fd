"""Read a finished image, whatever tool made it, into the same `Layout` that planning produces."""

from collections.abc import Iterator
from pathlib import Path

from fuki_build.errors import FormatError, located
from fuki_build.formats.pe import pe
from fuki_build.formats.pe.pe import PeHeaders
from fuki_build.image.blob import AnyPath, Blob
from fuki_build.image.image import ImageKind
from fuki_build.image.layout import Layout, PlacedSection, numbered
from fuki_build.image.section import ADDON_PAYLOAD, STUB_OWN, Origin, Section
from fuki_build.image.stub import StubVersion, decode_version

_MAX_MAGIC = 4096


def inspect(path: AnyPath) -> Layout:
    """Read only an image's headers. Raises `FukiError` when it cannot be read or is not a PE image."""
    return read_layout(Blob.of_file(path), Path(path))


def read_layout(file: Blob, path: Path) -> Layout:
    """The layout of an image given as content; `path` names it."""
    with located(str(path), FormatError):
        headers = pe.decode(file.read_at(0, pe.HEAD_SIZE), file.size)
        _check_claims(headers, file.size)

    sections = numbered(_sections(headers, file))
    table = headers.security

    return Layout(
        kind=_kind(headers),
        name=path.name,
        headers=headers,
        sections=sections,
        file_size=file.size,
        stub=_stub_version(sections),
        file=file,
        where=str(path),
        certificate_table=file.slice(table.address, table.size) if table.size else Blob(),
    )


def _check_claims(headers: PeHeaders, size: int) -> None:
    """Refuse sections that share so many bytes that a small file has gigabytes of content; some sharing is shown."""
    claimed = sum(section.raw_size for section in headers.sections)
    if claimed > 2 * size:
        raise FormatError(f"its sections claim {claimed} bytes, the file has {size}")


def _sections(headers: PeHeaders, file: Blob) -> Iterator[PlacedSection]:
    """Sections, each with its profile: `.profile` starts the next one."""
    profile: int | None = None
    for header in headers.sections:
        if header.name == ".profile":
            profile = 0 if profile is None else profile + 1
        content = file.slice(header.raw_offset, header.content_size) if header.raw_size else Blob()
        origin = Origin.STUB if header.name in STUB_OWN else Origin.RECIPE
        yield PlacedSection(
            Section(name=header.name, content=content, source="", profile=profile, origin=origin), header
        )


def _kind(headers: PeHeaders) -> ImageKind:
    names = {section.name for section in headers.sections}
    if ".linux" in names:
        return ImageKind.UKI
    return ImageKind.ADDON if names & set(ADDON_PAYLOAD) else ImageKind.OTHER


def _stub_version(sections: tuple[PlacedSection, ...]) -> StubVersion | None:
    magic = next((s.section.content for s in sections if s.name == ".sdmagic"), None)
    return decode_version(magic.read_at(0, _MAX_MAGIC)) if magic else None
