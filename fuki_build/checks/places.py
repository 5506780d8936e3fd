"""How findings name the place of a section."""

from collections.abc import Iterator

from fuki_build.hooks.records import CheckSubject
from fuki_build.image.section import Section


def at(name: str, profile: int | None) -> str:
    """A section's name for people: `.linux`, or `@1 .linux` for a profile's own."""
    return name if profile is None else f"@{profile} {name}"


def sections(subject: CheckSubject, *names: str) -> Iterator[tuple[Section, str]]:
    """All sections of these names, each with its name for people."""
    for section in subject.sections(*names):
        yield section, section.place
