"""Signed policies of an image that was changed: those that still hold stay, the others go.

A policy is about everything that the stub measures in one case. Where no case measures what it did, no policy holds,
and `.pcrsig` goes as a whole; where all do, it stays as it is. Otherwise the registers tell, once everything before the
section was hashed: it keeps its room, and what it has of policies that hold in a case and phase.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import product

from msgspec import Struct
from msgspec.structs import replace

from fuki_build.errors import FormatError
from fuki_build.formats.uki import pcrsig
from fuki_build.formats.uki.pcrsig import PolicySignature, Signatures
from fuki_build.image.assemble import Assembly, DeferredContent
from fuki_build.image.blob import Blob, BytesPart
from fuki_build.image.image import Image
from fuki_build.image.layout import Layout, plan
from fuki_build.image.section import Section
from fuki_build.measure import pcr11
from fuki_build.measure.predict import Case, cases
from fuki_build.measure.registers import BANKS, PHASES, replay, split_phases
from fuki_build.measure.section_digests import SectionDigests
from fuki_build.measure.tpm_policy import policy_pcr

_COMPARED = 64 * 1024
"""Bytes of a section up to which contents are compared, and not only where they come from."""
_SOURCE = "base, as far as it holds"


class KeptPolicies(Struct, frozen=True):
    """The `.pcrsig` of the base (`profile` None) or a profile, of which is kept what holds in `profiles`.

    `size` is the section's, in bytes.
    """

    profile: int | None
    size: int
    signatures: Signatures
    profiles: tuple[int | None, ...]


class PolicyChange(Struct, frozen=True):
    """An image without the policies that cannot hold, the sections that wait for registers, and what is gone."""

    image: Image
    kept: tuple[KeptPolicies, ...]
    notes: tuple[str, ...]


def keep_policies(
    image: Image, before: Layout, numbers: Mapping[int | None, int | None], given: Iterable[int | None]
) -> PolicyChange:
    """Of an image that was `before`, keep the policies that hold.

    `numbers` has the old number of each profile. `given` are those, or the base (None), that have a `.pcrsig` which is
    not the old one, or is made anew. Raises `FukiError`.
    """
    layout = plan(image)
    given = set(given)
    owners = [s.profile for s in layout.plain_sections if s.name == pcrsig.SECTION and s.profile not in given]

    kept: list[KeptPolicies] = []
    gone: list[int | None] = []
    notes: list[str] = []
    for owner in dict.fromkeys(owners):
        seers = _seers(layout, owner, given)
        same, lost = _compare(before, _seers(before, numbers[owner], set()), layout, seers)
        place = pcrsig.SECTION if owner is None else f"{pcrsig.SECTION} of profile @{owner}"
        if not lost:
            continue

        policies = _partly(layout, owner, seers) if same else None
        if policies is None:
            gone.append(owner)
            notes.append(f"the policies in {place} are left out, they do not hold for the new image")
        else:
            kept.append(policies)
            notes.append(f"of the policies in {place}, those that do not hold for the new image are left out")

    return PolicyChange(replace(image, sections=tuple(_sections(image, gone, kept))), tuple(kept), tuple(notes))


def _seers(layout: Layout, owner: int | None, given: set[int | None]) -> tuple[int | None, ...]:
    """The profiles in which the stub takes the `.pcrsig` of a slice."""
    if owner is not None or not layout.profiles:
        return (owner,)
    own = {s.profile for s in layout.plain_sections if s.name == pcrsig.SECTION} | given
    return tuple(profile for profile in layout.profiles if profile not in own)


def _compare(
    before: Layout, old_profiles: Sequence[int | None], after: Layout, new_profiles: Sequence[int | None]
) -> tuple[bool, bool]:
    """Whether some case of an image measures what a case did before, and whether one did what none does now."""
    old = {_measured(before, case) for case in cases(before, None, old_profiles)}
    new = {_measured(after, case) for case in cases(after, None, new_profiles)}
    return bool(old & new), bool(old - new)


def _measured(layout: Layout, case: Case) -> tuple[object, ...]:
    return tuple(_fingerprint(layout, section) for section in case.measured)


def _fingerprint(layout: Layout, section: Section) -> tuple[object, ...]:
    """What is the same for sections that surely measure the same: their bytes, or where these come from."""
    size = layout.sections[section.index].header.virtual_size
    content = section.content
    if content.size <= _COMPARED and size <= _COMPARED:
        return section.name, size, content.read_at(0, size).ljust(size, b"\0")

    parts: list[object] = []
    for part in content.parts:
        if not isinstance(part, BytesPart):
            parts.append(part)
        elif part.data.strip(b"\0") or part is not content.parts[-1]:
            parts.append(hashlib.sha256(part.data).digest())
    return section.name, size, *parts


def _partly(layout: Layout, owner: int | None, seers: Sequence[int | None]) -> KeptPolicies | None:
    """What is to be kept when the registers are known; None where they cannot be known in time.

    All that the policies of the base are about stands before them only in an image without profiles.
    """
    if owner is None and layout.profiles:
        return None
    section = layout.find(pcrsig.SECTION, owner)[0]
    try:
        signatures = pcrsig.decode(section.content.read_small(pcrsig.MAX_SIZE, "the .pcrsig section"))
    except FormatError:
        return None
    size = max(section.content.size, len(pcrsig.encode(signatures)))
    return KeptPolicies(owner, size, signatures, tuple(seers))


def _sections(image: Image, gone: Sequence[int | None], kept: Sequence[KeptPolicies]) -> list[Section]:
    """The image's sections, those that wait behind all others of their slice."""
    waiting = {policies.profile: policies for policies in kept}
    sections = [
        section
        for section in image.sections
        if section.name != pcrsig.SECTION or section.profile not in {*gone, *waiting}
    ]
    for owner, policies in waiting.items():
        last = max(index for index, section in enumerate(sections) if owner is None or section.profile == owner)
        room = Section(pcrsig.SECTION, Blob.of_bytes(b" " * policies.size), _SOURCE, owner)
        sections.insert(last + 1, room)
    return sections


def deferred_kept(
    layout: Layout, kept: Sequence[KeptPolicies], written: dict[int, bytes]
) -> dict[int, DeferredContent]:
    """For `assemble`: what makes each `.pcrsig` that waits, by its index; each is kept in `written`, too."""

    def maker(index: int, policies: KeptPolicies) -> DeferredContent:
        def make(assembly: Assembly) -> bytes:
            written[index] = pcrsig.encode(_holding(layout, assembly, policies), policies.size)
            return written[index]

        return make

    makers = {}
    for policies in kept:
        section = layout.find(pcrsig.SECTION, policies.profile)[0]
        makers[section.index] = maker(section.index, policies)
    return makers


def _holding(layout: Layout, assembly: Assembly, policies: KeptPolicies) -> Signatures:
    digests = _policy_digests(layout, assembly, policies)

    def holds(bank: str, entry: PolicySignature) -> bool:
        if pcr11.PCR not in entry.pcrs:
            # What was changed is not what they are about.
            return True
        return entry.pcrs == (pcr11.PCR,) and (bank, entry.pol.lower()) in digests

    return pcrsig.group(
        (bank, entry) for bank, entries in policies.signatures.items() for entry in entries if holds(bank, entry)
    )


def _policy_digests(layout: Layout, assembly: Assembly, policies: KeptPolicies) -> set[tuple[str, str]]:
    """The banks and digests of all policies that hold in the profiles that take the section."""
    banks = tuple(policies.signatures)
    contents = SectionDigests(layout, assembly, banks)
    phases: list[tuple[str, ...]] = [(), *map(split_phases, PHASES)]
    digests = set()
    for case, bank in product(cases(layout, None, policies.profiles), banks):
        events = [event for section in case.measured for event in pcr11.section_events(section, contents)]
        start = replay(bank, (event.digests[bank] for event in events), bytes(BANKS[bank]))
        for phase in phases:
            words = (event.digests[bank] for event in pcr11.phase_events(phase, (bank,)))
            digests.add((bank, policy_pcr({pcr11.PCR: replay(bank, words, start)}, bank).hex()))
    return digests
