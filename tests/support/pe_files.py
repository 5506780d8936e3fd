"""Images as pefile reads them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pefile


@dataclass(frozen=True)
class PeSection:
    name: str
    sha256: str
    virtual_size: int
    address: int
    offset: int
    raw_size: int
    flags: int

    @property
    def as_loaded(self) -> tuple[str, str, int]:
        """What a stub sees of it; the digest is that of the first `VirtualSize` bytes."""
        return self.name, self.sha256, self.virtual_size


@dataclass(frozen=True)
class PeFile:
    """Headers by pefile's names, and sections in the order of the file."""

    headers: Mapping[str, int]
    sections: tuple[PeSection, ...]
    profiles: tuple[int | None, ...]
    contents: tuple[bytes, ...]

    def content(self, name: str, profile: int | None = None) -> bytes:
        """The only section of that name in the base or a profile."""
        sections = [
            content
            for section, owner, content in zip(self.sections, self.profiles, self.contents, strict=True)
            if (section.name, owner) == (name, profile)
        ]
        assert len(sections) == 1, f"{len(sections)} sections {name}"
        return sections[0]

    def slice(self, profile: int | None = None) -> list[tuple[str, str, int]]:
        """What a stub sees of the base or a profile, its own sections apart."""
        own = {".text", ".rodata", ".data", ".reloc", ".sdmagic"}
        pairs = zip(self.sections, self.profiles, strict=True)
        return [section.as_loaded for section, owner in pairs if owner == profile and section.name not in own]

    def names(self, profile: int | None = None) -> list[str]:
        return [name for name, _, _ in self.slice(profile)]


def read_pe(path: Path) -> PeFile:
    """Read an image with pefile, cut at `.profile` as UAPI.5 says."""
    with pefile.PE(str(path), fast_load=True) as file:
        headers = {
            key: value["Value"]
            for structure in (file.FILE_HEADER, file.OPTIONAL_HEADER)
            for key, value in structure.dump_dict().items()
            if key not in {"Structure", "TimeDateStamp"}
        }
        directories = [(d.VirtualAddress, d.Size) for d in file.OPTIONAL_HEADER.DATA_DIRECTORY]
        sections: list[PeSection] = []
        profiles: list[int | None] = []
        contents: list[bytes] = []
        profile: int | None = None
        for section in file.sections:
            name = section.Name.rstrip(b"\0").decode()
            if name == ".profile":
                profile = 0 if profile is None else profile + 1
            content = section.get_data()[: section.Misc_VirtualSize]
            profiles.append(profile)
            contents.append(content)
            sections.append(
                PeSection(
                    name=name,
                    sha256=hashlib.sha256(content).hexdigest(),
                    virtual_size=section.Misc_VirtualSize,
                    address=section.VirtualAddress,
                    offset=section.PointerToRawData,
                    raw_size=section.SizeOfRawData,
                    flags=section.Characteristics,
                )
            )
    headers["Directories"] = tuple(directories)
    return PeFile(headers, tuple(sections), tuple(profiles), tuple(contents))
