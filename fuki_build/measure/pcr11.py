"""PCR 11: the image's sections, and the phases of the boot."""

from collections.abc import Iterator, Sequence

from fuki_build.image.section import Section
from fuki_build.measure.events import Event, Who
from fuki_build.measure.registers import Digests, digests
from fuki_build.measure.subject import Subject

PCR = 11


def section_events(subject: Subject) -> Iterator[Event]:
    """For each section its name with a NUL, then its content (stub.c)."""
    for section in subject.measured:
        yield _name(section, subject.contents.banks)
        found = subject.contents.digests(section)
        yield Event(PCR, "EV_IPL", f"content of {section.name}", _place(section), Who.STUB, found)


def phase_events(words: Sequence[str], banks: Sequence[str]) -> Iterator[Event]:
    """systemd-pcrphase extends the words of a phase path, without NUL, and writes no firmware event log."""
    for word in words:
        yield Event(PCR, "", f"phase {word}", "systemd-pcrphase", Who.SYSTEM, digests(word.encode(), banks))


def _name(section: Section, banks: Sequence[str]) -> Event:
    found: Digests = digests(section.name.encode("ascii", "replace") + b"\0", banks)
    return Event(PCR, "EV_IPL", f"name of {section.name}", _place(section), Who.STUB, found)


def _place(section: Section) -> str:
    return "base" if section.profile is None else f"profile @{section.profile}"
