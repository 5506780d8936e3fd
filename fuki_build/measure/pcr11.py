"""PCR 11: the image's sections, and the phases of the boot."""

from collections.abc import Iterable, Iterator, Sequence
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


def phase_digests(words: Iterable[str], bank: str) -> Iterator[bytes]:
    """What systemd-pcrphase extends for the words of a phase path; the firmware's event log does not have it."""
    return (phase_digest(word, bank) for word in words)


@cache
def phase_digest(word: str, bank: str) -> bytes:
    """The digest that systemd-pcrphase extends for a word, which has no NUL."""
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
