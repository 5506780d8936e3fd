"""PCR 11: the image's sections, and the phases of the boot."""

from collections.abc import Iterator, Sequence
from functools import cache

from fuki_build.image.section import Section
from fuki_build.measure.events import Event, Measurer
from fuki_build.measure.registers import Digests, digests
from fuki_build.measure.section_digests import SectionDigests

PCR = 11


def section_events(section: Section, contents: SectionDigests) -> Iterator[Event]:
    """A section's name with a NUL, then its content (stub.c)."""
    yield _name(section, contents.banks)
    yield Event(
        pcr=PCR,
        type="EV_IPL",
        what=f"content of {section.name}",
        source=_place(section),
        by=Measurer.STUB,
        digests=contents.digests(section),
    )


def phase_events(words: Sequence[str], banks: Sequence[str]) -> Iterator[Event]:
    """systemd-pcrphase extends the words of a phase path, without NUL, and writes no firmware event log."""
    for word in words:
        yield Event(
            pcr=PCR,
            type="",
            what=f"phase {word}",
            source="systemd-pcrphase",
            by=Measurer.SYSTEM,
            digests=digests(word.encode(), banks),
        )


@cache
def phase_digest(word: str, bank: str) -> bytes:
    """The digest that systemd-pcrphase extends for a word."""
    return digests(word.encode(), (bank,))[bank]


def _name(section: Section, banks: Sequence[str]) -> Event:
    name_digests: Digests = digests(section.name.encode("ascii", "replace") + b"\0", banks)
    return Event(
        pcr=PCR,
        type="EV_IPL",
        what=f"name of {section.name}",
        source=_place(section),
        by=Measurer.STUB,
        digests=name_digests,
    )


def _place(section: Section) -> str:
    return "base" if section.profile is None else f"profile @{section.profile}"
