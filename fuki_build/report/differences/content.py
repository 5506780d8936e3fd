"""Sections, texts, profiles and firmware that differ."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from fuki_build.image.profiles import profiles
from fuki_build.image.section import Section
from fuki_build.report.differences.compared import Compared, Place, ProfilePairs, change_of
from fuki_build.report.differences.views import (
    Change,
    ContentView,
    FirmwareDifference,
    ProfileDifference,
    SectionDifference,
    TextDifference,
)

_Key = tuple[str, Place, str | None, str | None]
"""A section's name and slice, and the fwid or the compatible string by which it is selected."""
_Sections = Mapping[tuple[_Key, int], tuple[Section, ContentView]]
_TEXTS = (".cmdline", ".osrel", ".uname", ".profile", ".sbat")
_MAX_TEXT = 64 * 1024
K = TypeVar("K")


def section_differences(old: Compared, new: Compared, pairs: ProfilePairs) -> Iterator[SectionDifference]:
    """Sections by slice and key; of several with one key, the first stands for the first, and so on."""
    before, after = _sections(old, pairs, old=True), _sections(new, pairs, old=False)
    for key in _joined(before, after):
        (name, place, fwid, compatible), _ = key
        one, other = _view(before, key), _view(after, key)
        if one is None or other is None or one.sha256 != other.sha256:
            yield SectionDifference(
                change=change_of(one, other),
                name=name,
                profile=place[0],
                fwid=fwid,
                compatible=compatible,
                old=one,
                new=other,
            )


def text_differences(old: Compared, new: Compared, pairs: ProfilePairs) -> Iterator[TextDifference]:
    """The words or lines in which texts differ that both images have, or one only; none of texts above 64 KiB."""
    before, after = _sections(old, pairs, old=True), _sections(new, pairs, old=False)
    for key in _joined(before, after):
        (name, place, _, _), _ = key
        if name not in _TEXTS:
            continue
        one, other = before.get(key), after.get(key)
        if one and other and one[1].sha256 == other[1].sha256:
            continue
        if all(side is None or side[0].content.size <= _MAX_TEXT for side in (one, other)):
            removed, added = _only(_pieces(one and one[0]), _pieces(other and other[0]))
            yield TextDifference(section=name, profile=place[0], removed=removed, added=added)


def _sections(side: Compared, pairs: ProfilePairs, *, old: bool) -> _Sections:
    fwids = {image.section.index: image.fwid for part in side.parts for image in part.firmware}
    compatibles = {
        section.index: compatible
        for part in side.parts
        for (_, compatible), section in part.selectable.items()
        if section.name == ".dtbauto"
    }

    sections: dict[tuple[_Key, int], tuple[Section, ContentView]] = {}
    counts: Counter[_Key] = Counter()
    for index, (placed, view) in enumerate(zip(side.layout.sections, side.report.image.sections, strict=True)):
        place = pairs.place(view.profile, old=old)
        key = view.name, place, fwids.get(index), compatibles.get(index)
        sections[key, counts[key]] = placed.section, ContentView(view.size, view.sha256 or "", view.what)
        counts[key] += 1
    return sections


def _view(sections: _Sections, key: tuple[_Key, int]) -> ContentView | None:
    entry = sections.get(key)
    return entry[1] if entry else None


def _joined(before: Mapping[K, object], after: Mapping[K, object]) -> Sequence[K]:
    """The keys of both: those of the new image in its order, then those that only the old one has."""
    return [*after, *(key for key in before if key not in after)]


def _pieces(section: Section | None) -> Sequence[str]:
    if section is None:
        return ()
    text = section.content.read_at(0, _MAX_TEXT).rstrip(b"\0").decode("utf-8", "replace")
    return text.split() if section.name == ".cmdline" else text.splitlines()


def _only(old: Sequence[str], new: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The pieces that one side has, or has more often. In linear time, as texts are of anyone."""
    return _without(old, Counter(new)), _without(new, Counter(old))


def _without(pieces: Sequence[str], others: Counter[str]) -> tuple[str, ...]:
    left = Counter(others)
    rest = []
    for piece in pieces:
        if left[piece] > 0:
            left[piece] -= 1
        else:
            rest.append(piece)
    return tuple(rest)


def profile_differences(old: Compared, new: Compared, pairs: ProfilePairs) -> Iterator[ProfileDifference]:
    """Profiles without a counterpart: those that were removed, then those that were added."""
    reached = set(pairs.boots.values())
    for side, change in ((old, Change.REMOVED), (new, Change.ADDED)):
        for profile in profiles(side.layout):
            paired = profile.number in (pairs.boots if side is old else reached)
            if not paired:
                yield ProfileDifference(change=change, number=profile.number, id=profile.id, title=profile.title)


def firmware_differences(old: Compared, new: Compared, pairs: ProfilePairs) -> Iterator[FirmwareDifference]:
    """Firmware images by slice and fwid; of several with one fwid, the first, which is the one that the stub takes."""
    before, after = _firmware(old, pairs, old=True), _firmware(new, pairs, old=False)
    for key in _joined(before, after):
        one, other = before.get(key), after.get(key)
        if one != other:
            place, fwid = key
            yield FirmwareDifference(change=change_of(one, other), profile=place[0], fwid=fwid, old=one, new=other)


def _firmware(side: Compared, pairs: ProfilePairs, *, old: bool) -> dict[tuple[Place, str], ContentView]:
    images: dict[tuple[Place, str], ContentView] = {}
    for image in side.report.firmware:
        view = ContentView(image.size, image.sha256, image.what)
        images.setdefault((pairs.place(image.profile, old=old), image.fwid), view)
    return images
