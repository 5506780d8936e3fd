"""How people name one section of an image: `SECTION[:KEY][@PROFILE]`, and `IMAGE:SECTION…` in place of a file."""

import re
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from fuki_build.errors import FukiError, RecipeError
from fuki_build.image.blob import Blob
from fuki_build.image.firmware import read_compatible, read_firmware
from fuki_build.image.inspect import inspect
from fuki_build.image.layout import Layout
from fuki_build.image.profiles import find_profile
from fuki_build.image.section import Section

_ADDRESS = re.compile(r"(?P<name>\.?[A-Za-z0-9_.-]+)(?::(?P<key>[^@]+))?(?:@(?P<profile>.+))?")
_REFERENCE = re.compile(r"(?P<image>.+?):(?P<address>\.[A-Za-z0-9_.-]{1,7}(?::[^@]+)?(?:@.+)?)", re.DOTALL)

_MAX_PATH = 4096
"""Bytes of a path, at most (Linux, PATH_MAX)."""


class SectionAddress(Struct, frozen=True):
    """A section's name; its fwid, compatible string or number, and its profile's id or number, where they are given."""

    name: str
    key: str | None = None
    profile: str | None = None

    def __str__(self) -> str:
        key = f":{self.key}" if self.key is not None else ""
        return f"{self.name}{key}{f'@{self.profile}' if self.profile is not None else ''}"


def parse_address(text: str) -> SectionAddress | None:
    """The address that a text is, with or without the dot of the name; None if it is none."""
    parts = _ADDRESS.fullmatch(text)
    if parts is None:
        return None
    return SectionAddress("." + parts["name"].lstrip("."), parts["key"], parts["profile"])


def split_reference(path: Path) -> tuple[Path, SectionAddress] | None:
    """The image and the section that `IMAGE:.SECTION[:KEY][@PROFILE]` names; None for the path of a file.

    A file that has such a name is that file.
    """
    text = str(path)
    # What is longer is no path, and may be slow to match.
    parts = _REFERENCE.fullmatch(text) if len(text) <= _MAX_PATH else None
    address = parse_address(parts["address"]) if parts else None
    if parts is None or address is None or _exists(path):
        return None
    return Path(parts["image"]), address


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def open_content(path: Path) -> Blob:
    """The content of a file, or of the section of an image that `path` refers to. Raises `FukiError`."""
    reference = split_reference(path)
    if reference is None:
        return Blob.of_file(path)
    image, address = reference
    return content_of(find_section(inspect(image), address))


def find_sections(layout: Layout, address: SectionAddress) -> Sequence[Section]:
    """All sections with that name, key and profile, in the order of the image. Raises `RecipeError` for the profile."""
    profile = None if address.profile is None else find_profile(layout, address.profile)
    sections = layout.find(address.name, profile)
    return sections if address.key is None else _with_key(sections, address.key)


def find_section(layout: Layout, address: SectionAddress) -> Section:
    """The one section that an address names; `RecipeError` says what there is instead."""
    sections = find_sections(layout, address)
    if len(sections) != 1:
        count = f"is there {len(sections)} times; name one, or count it: {address.name}:1"
        problem = count if sections else "is not there"
        raise missing_section(layout, address, problem)
    return sections[0]


def missing_section(layout: Layout, address: SectionAddress, problem: str = "is not there") -> FukiError:
    """The error for an address that leads nowhere, or to several sections."""
    names = ", ".join(dict.fromkeys(str(address_of(section)) for section in layout.plain_sections))
    return RecipeError(f"{address} {problem}", where=layout.where, hint=f"there are: {names}")


def content_of(section: Section) -> Blob:
    """What a section holds; of `.efifw`, the firmware."""
    firmware = read_firmware(section) if section.name == ".efifw" else None
    return firmware.payload if firmware and firmware.header else section.content


def key_of(section: Section) -> str | None:
    """The fwid of a `.efifw`, the compatible string of a `.dtbauto`; None where there is none."""
    if section.name == ".efifw":
        return read_firmware(section).fwid
    return read_compatible(section) if section.name == ".dtbauto" else None


def address_of(section: Section) -> SectionAddress:
    """An address of a section in its image, which is that of others, too, if they are alike."""
    return SectionAddress(section.name, key_of(section), None if section.profile is None else f"{section.profile}")


def _with_key(sections: Sequence[Section], key: str) -> Sequence[Section]:
    """The sections of that fwid or compatible string; or the one of that number, counted from 1."""
    named = [section for section in sections if key_of(section) == key]
    # Longer numbers are no counts, and slow to convert.
    if not named and key.isdecimal() and len(key) < 6 and 0 < int(key) <= len(sections):
        return [sections[int(key) - 1]]
    return named
