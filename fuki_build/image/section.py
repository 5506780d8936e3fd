"""Sections of a UKI or addon (UAPI.5), and systemd-stub's treatment of each."""

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum

from msgspec import Struct

from fuki_build.errors import located
from fuki_build.formats.uki import env_file
from fuki_build.image.blob import Blob

STUB_MEASURED = (
    ".linux", ".osrel", ".cmdline", ".initrd", ".ucode", ".splash", ".dtb", ".uname", ".sbat",
    ".pcrpkey", ".profile", ".dtbauto", ".hwids", ".efifw",
)  # fmt: skip
"""The sections that the stub measures into PCR 11, in its order (the enum in uki.h, 262.1; the UAPI.5 text differs)."""

MATCHED = (".dtbauto", ".efifw")
"""May repeat within a profile; only the one that matches the machine is used and measured."""

ADDON_PAYLOAD = (".cmdline", ".dtb", ".dtbauto", ".ucode", ".initrd")
"""At least one of these makes an addon (systemd-stub(7))."""

IMAGE_ORDER = (
    ".osrel", ".cmdline", ".dtb", ".dtbauto", ".hwids", ".uname", ".splash", ".pcrpkey",
    ".linux", ".initrd", ".efifw", ".ucode",
)  # fmt: skip
"""File order, as in ukify 262.1: tools that compare images see the same sequence."""

STUB_OWN = frozenset((".text", ".rodata", ".data", ".reloc", ".sdmagic", ".bss", ".dynamic", ".dynsym", ".rela"))
"""The stub's code and data, by the names that its linkers give them. `.sbat` is the stub's only until replaced."""
HAND_OVER = ".fuki"
"""The hand-over program: where the image starts, before the stub does."""
NAME_SIZE = 8
TEXT_LIMIT = 64 * 1024
"""Bytes that the text of a section has at most, unless its reader takes more."""
_BLANK = bytes(range(0x21))
"""What the stub strips from both ends."""


class Origin(Enum):
    """The source of a section."""

    STUB = "stub"
    RECIPE = "recipe"


class Section(Struct, frozen=True, kw_only=True):
    """Named content. `profile` is None in the base, else the number after `@`.

    `source` tells people where the recipe took it from; it is empty in a finished image. `position` is its place in a
    layout's table of sections, from 0; None before a layout has placed it.
    """

    name: str
    """Its name in the file, such as `.cmdline`."""
    content: Blob
    """Its content, without padding."""
    source: str
    """What the recipe took it from, for people."""
    profile: int | None = None
    """The number of the profile whose own it is; None for the base's."""
    origin: Origin = Origin.RECIPE
    position: int | None = None

    @property
    def index(self) -> int:
        """Its place in the table of the layout that it is from, which tells it from all others there.

        Raises `LookupError` where no layout has placed it.
        """
        if self.position is None:
            raise LookupError(f"section {self.name} is in no layout")
        return self.position

    @property
    def size(self) -> int:
        """The content's size in bytes."""
        return self.content.size

    @property
    def place(self) -> str:
        """Its name for people: `.linux`, or `@1 .linux` for a profile's own. It is what `where` of a problem takes."""
        return self.name if self.profile is None else f"@{self.profile} {self.name}"

    def text(self, limit: int = TEXT_LIMIT) -> str:
        """The content as the stub takes texts: up to the first NUL, without blanks at its ends.

        What is not UTF-8 becomes U+FFFD. Raises `FormatError` for more than `limit` bytes, by default 64 KiB.
        """
        data = self.content.read_small(limit, self.place)
        return data.partition(b"\0")[0].strip(_BLANK).decode(errors="replace")

    def assignments(self) -> Mapping[str, str]:
        """The content of `.osrel` or `.profile`, which are os-release(5) texts, by key. Raises `FormatError`."""
        with located(self.place):
            return env_file.decode(self.content.read_small(TEXT_LIMIT, self.place))


def measured(section: Section, *, addon: bool) -> str:
    """Where the stub measures a section, in words; empty where it does not."""
    if addon:
        return "PCR 12" if section.name in ADDON_PAYLOAD else ""
    if section.name in MATCHED:
        return "PCR 11 if matched"
    return "PCR 11" if section.name in STUB_MEASURED else ""


def by_profile(sections: Iterable[Section]) -> dict[int | None, list[Section]]:
    """The sections of the base (None) and of each profile, in order; the base is present even if it is empty."""
    sections_of: dict[int | None, list[Section]] = {None: []}
    for section in sections:
        sections_of.setdefault(section.profile, []).append(section)
    return sections_of


def overlaid(base: Iterable[Section], own: Sequence[Section]) -> list[Section]:
    """A profile's view: the base's sections that it does not override, then its own, as in the stub."""
    overridden = {s.name for s in own}
    return [s for s in base if s.name not in overridden] + list(own)
