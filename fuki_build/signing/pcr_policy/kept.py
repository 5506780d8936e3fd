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

from fuki_build.errors import FormatError, FukiError
from fuki_build.formats.uki import pcrsig
from fuki_build.formats.uki.pcrsig import PolicySignature, Signatures
from fuki_build.image.assembly import Assembly, DeferredContent
from fuki_build.image.blob import Blob, BytesPart
from fuki_build.image.image import Image
from fuki_build.image.layout import Layout
from fuki_build.image.plan import plan
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
    old_cases, new_cases = _measured_cases(before), _measured_cases(layout)

    kept: list[KeptPolicies] = []
    gone: list[int | None] = []
    notes: list[str] = []
    for owner in dict.fromkeys(owners):
        seers = _seers(layout, owner, given)
        old = {case for seer in _seers(before, numbers[owner], set()) for case in old_cases.get(seer, ())}
        new = {case for seer in seers for case in new_cases.get(seer, ())}
        place = pcrsig.SECTION if owner is None else f"{pcrsig.SECTION} of profile @{owner}"
        if old and old <= new:
            continue

        policies = _partly(layout, owner, seers) if old & new else None
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


def _measured_cases(layout: Layout) -> Mapping[int | None, Sequence[tuple[bytes, ...]]]:
    """What the stub measures in each case of each profile; nothing for an image with too many to tell."""
    fingerprints: dict[int, bytes] = {}

    def fingerprint(section: Section) -> bytes:
        if section.index not in fingerprints:
            fingerprints[section.index] = _fingerprint(layout, section)
        return fingerprints[section.index]

    try:
        possible = cases(layout, None, layout.profiles or (None,))
    except FukiError:
        return {}
    measured: dict[int | None, list[tuple[bytes, ...]]] = {}
    for case in possible:
        measured.setdefault(case.profile, []).append(tuple(map(fingerprint, case.measured)))
    return measured


def _fingerprint(layout: Layout, section: Section) -> bytes:
    """What is the same for sections that surely measure the same: their bytes, or where these come from."""
    size = layout.sections[section.index].header.virtual_size
    content = section.content
    digest = hashlib.sha256(f"{section.name} {size} ".encode())
    if content.size <= _COMPARED and size <= _COMPARED:
        digest.update(content.read_at(0, size).ljust(size, b"\0"))
        return digest.digest()

    for part in content.parts:
        if not isinstance(part, BytesPart):
            digest.update(repr(part).encode(errors="surrogateescape"))
        elif part.data.strip(b"\0") or part is not content.parts[-1]:
            digest.update(part.data)
    return digest.digest()


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
        reserved = Section(
            name=pcrsig.SECTION, content=Blob.of_bytes(b" " * policies.size), source=_SOURCE, profile=owner
        )
        sections.insert(last + 1, reserved)
    return sections


def deferred_kept(
    layout: Layout, kept: Sequence[KeptPolicies], written: dict[int, bytes]
) -> dict[int, DeferredContent]:
    """For `assemble`: what makes each `.pcrsig` that waits, by its index; each is kept in `written`, too."""
    possible: dict[int | None, list[Case]] = {}
    for case in cases(layout, None, layout.profiles or (None,)) if kept else ():
        possible.setdefault(case.profile, []).append(case)

    def maker(index: int, policies: KeptPolicies) -> DeferredContent:
        seen = [case for profile in policies.profiles for case in possible.get(profile, ())]

        def make(assembly: Assembly) -> bytes:
            written[index] = pcrsig.encode(_holding(layout, assembly, policies, seen), policies.size)
            return written[index]

        return make

    makers = {}
    for policies in kept:
        section = layout.find(pcrsig.SECTION, policies.profile)[0]
        makers[section.index] = maker(section.index, policies)
    return makers


def _holding(layout: Layout, assembly: Assembly, policies: KeptPolicies, possible: Sequence[Case]) -> Signatures:
    digests = _policy_digests(SectionDigests(layout, assembly, tuple(policies.signatures)), possible)

    def holds(bank: str, entry: PolicySignature) -> bool:
        if pcr11.PCR not in entry.pcrs:
            # What was changed is not what they are about.
            return True
        return entry.pcrs == (pcr11.PCR,) and (bank, entry.pol.lower()) in digests

    return pcrsig.group(
        (bank, entry) for bank, entries in policies.signatures.items() for entry in entries if holds(bank, entry)
    )


def _policy_digests(contents: SectionDigests, possible: Sequence[Case]) -> set[tuple[str, str]]:
    """The banks and digests of all policies that hold in these cases."""
    phases: list[tuple[str, ...]] = [(), *map(split_phases, PHASES)]
    digests = set()
    for case, bank in product(possible, contents.banks):
        events = [event for section in case.measured for event in pcr11.section_events(section, contents)]
        start = replay(bank, (event.digests[bank] for event in events), bytes(BANKS[bank]))
        for phase in phases:
            words = pcr11.phase_digests(phase, bank)
            digests.add((bank, policy_pcr({pcr11.PCR: replay(bank, words, start)}, bank).hex()))
    return digests
