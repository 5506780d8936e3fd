"""Layout: an image with every offset, address and size decided, before any byte is written."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from msgspec import Struct
from msgspec.structs import replace

from fuki_build.formats.pe.authenticode import digest_ranges
from fuki_build.formats.pe.pe import PeHeaders, SectionHeader
from fuki_build.image.blob import Blob
from fuki_build.image.image import ImageKind
from fuki_build.image.section import Section, by_profile, overlaid
from fuki_build.image.stub import UNNUMBERED, StubModel, StubVersion, model_of


class PlacedSection(Struct, frozen=True):
    """A section and its header; `header.virtual_size` is the content's size."""

    section: Section
    header: SectionHeader

    @property
    def name(self) -> str:
        return self.section.name


def numbered(sections: Iterable[PlacedSection]) -> tuple[PlacedSection, ...]:
    """Sections that know their places in the table that they make."""
    return tuple(
        replace(placed, section=replace(placed.section, position=position)) for position, placed in enumerate(sections)
    )


class Layout(Struct, frozen=True, dict=True, kw_only=True):
    """A planned image, or one that was read from `file`; later steps treat both alike.

    Its sections are `numbered`.
    """

    kind: ImageKind
    """Whether it is a UKI, an addon, or something else."""
    name: str
    """The recipe's name, an addon's own, or that of the file."""
    headers: PeHeaders
    sections: tuple[PlacedSection, ...]
    file_size: int
    """The size of the file in bytes, with the certificate table that it has."""
    stub: StubVersion | None
    """The stub's version; None where there is no stub, or one that is not systemd's."""
    file: Blob | None = None
    """The finished image; None for a planned one."""
    where: str | None = None
    certificate_table: Blob = Blob()

    @property
    def model(self) -> StubModel:
        """The behaviour of the image's stub."""
        return model_of(self.stub.numbers if self.stub else UNNUMBERED)

    @property
    def machine(self) -> str:
        """The architecture by EFI's name, such as `x64` or `aa64`; of another one its number in hex."""
        return self.headers.machine_name

    @cached_property
    def plain_sections(self) -> tuple[Section, ...]:
        """All sections in the file's order: the stub's, the base's and each profile's own."""
        return tuple(placed.section for placed in self.sections)

    @cached_property
    def _by_profile(self) -> Mapping[int | None, Sequence[Section]]:
        return by_profile(self.plain_sections)

    def effective(self, profile: int | None) -> list[Section]:
        """A profile's view: its own sections, and those of the base that it does not override."""
        own = self._by_profile.get(profile, ()) if profile is not None else ()
        return overlaid(self._by_profile[None], own)

    @cached_property
    def _first(self) -> Mapping[tuple[int | None, str], Section]:
        first: dict[tuple[int | None, str], Section] = {}
        for section in self.plain_sections:
            first.setdefault((section.profile, section.name), section)
        return first

    def effective_section(self, name: str, profile: int | None) -> Section | None:
        """The first section of that name in a profile's view: of its own, or else of the base."""
        return self._first.get((profile, name)) or self._first.get((None, name))

    @cached_property
    def profiles(self) -> tuple[int, ...]:
        """The numbers after `@`; empty for an image without profiles."""
        return tuple(sorted({s.profile for s in self.plain_sections if s.profile is not None}))

    @property
    def unsigned_size(self) -> int:
        """The size without certificate table; a new table starts here, after padding to a multiple of 8."""
        return self.file_size - self.certificate_table.size

    @property
    def authenticode_ranges(self) -> tuple[tuple[int, int], ...]:
        return digest_ranges(self.headers, self.file_size)

    def find(self, name: str, profile: int | None = None) -> list[Section]:
        """The sections of that name in exactly one slice: the base, or one profile's own."""
        return [s for s in self.plain_sections if s.name == name and s.profile == profile]


def with_contents(layout: Layout, contents: Mapping[int, Blob]) -> Layout:
    """The layout with other contents of the same sizes, keyed by the indices of the sections.

    Raises `LookupError` for a section that it does not have.
    """
    if not contents:
        return layout

    sections = list(layout.sections)
    for index, content in contents.items():
        sections[index] = replace(sections[index], section=replace(sections[index].section, content=content))

    return replace(layout, sections=tuple(sections))
