"""Signed policies held against predictions: in which cases and phases each of them holds, and where none does."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

from msgspec import Struct

from fuki_build.formats.uki.pcrsig import PolicySignature, Signatures
from fuki_build.measure import pcr11
from fuki_build.measure.predict import Prediction
from fuki_build.measure.registers import PHASES, split_phases
from fuki_build.measure.tpm_policy import policy_pcr

Phase = tuple[str, ...]
"""The words of a phase path; none before the first phase."""
Sections = Mapping[int | None, Signatures]
"""The content of `.pcrsig` in the base (None) and in profiles."""


class PolicyScope(Struct, frozen=True):
    """A predicted case, by its index, and a phase of its boot."""

    case: int
    phase: Phase


class PolicyCoverage(Struct, frozen=True, kw_only=True):
    """One entry of the `.pcrsig` in the base or a profile, and everywhere that its policy holds.

    `seen_by` are the predicted profiles that take that section. An entry that is not `comparable` is over other
    registers than PCR 11.
    """

    profile: int | None
    seen_by: tuple[int | None, ...]
    bank: str
    entry: PolicySignature
    places: tuple[PolicyScope, ...]

    @property
    def comparable(self) -> bool:
        return _comparable(self.entry)

    @property
    def key(self) -> str:
        """The fingerprint of the key that it names, in small letters."""
        return self.entry.pkfp.lower()


class CoverageGap(Struct, frozen=True):
    """A place where none of a key's policies in a bank holds, though they are for such a phase."""

    key: str
    bank: str
    place: PolicyScope


class Coverage(Struct, frozen=True):
    held: tuple[PolicyCoverage, ...]
    gaps: tuple[CoverageGap, ...]


def cover(sections: Sections, predictions: Sequence[Prediction], phases: Sequence[Phase]) -> Coverage:
    """Compare every entry with what is predicted in every case, in these phases and the usual ones.

    `predictions` have the banks of the entries. There is a gap where a key has a policy for a phase in another case
    of the profile; where none of its policies holds in a profile at all, in each of `phases`.
    """
    tried = tuple(dict.fromkeys([(), *phases, *map(split_phases, PHASES)]))

    seen = _seen(sections, predictions)
    places = _places(sections, predictions, seen, tried)

    held = tuple(
        PolicyCoverage(
            profile=profile,
            seen_by=tuple(seen.get(profile, {})),
            bank=bank,
            entry=entry,
            places=places.get((profile, bank, _policy(entry)), ()),
        )
        for profile, signatures in sections.items()
        for bank, entries in signatures.items()
        for entry in entries
    )

    return Coverage(held, tuple(_gaps(held, seen, tried, phases)))


_Seen = Mapping[int | None, Mapping[int | None, Sequence[int]]]
"""By whose `.pcrsig` it is: the profiles that see it, and the indices of their predictions."""


def _seen(sections: Sections, predictions: Sequence[Prediction]) -> _Seen:
    """A profile sees its own section, or the base's."""
    indices: dict[int | None, dict[int | None, list[int]]] = {}
    for index, prediction in enumerate(predictions):
        profile = prediction.case.profile
        owner = profile if profile in sections else None
        if owner in sections:
            indices.setdefault(owner, {}).setdefault(profile, []).append(index)
    return indices


def _comparable(entry: PolicySignature) -> bool:
    return set(entry.pcrs) == {pcr11.PCR}


def _policy(entry: PolicySignature) -> str:
    return entry.pol.lower() if _comparable(entry) else ""


def _places(
    sections: Sections, predictions: Sequence[Prediction], seen: _Seen, phases: Sequence[Phase]
) -> dict[tuple[int | None, str, str], tuple[PolicyScope, ...]]:
    """Where each policy digest holds, by whose `.pcrsig` it is and the bank."""
    scopes: dict[tuple[int | None, str, str], list[PolicyScope]] = {}
    for owner, profiles in seen.items():
        for index in (index for indices in profiles.values() for index in indices):
            for bank, phase in product(sections[owner], phases):
                value = predictions[index].value(pcr11.PCR, bank, phase)
                if value is not None:
                    policy = policy_pcr({pcr11.PCR: value}, bank).hex()
                    scopes.setdefault((owner, bank, policy), []).append(PolicyScope(index, phase))
    return {key: tuple(places) for key, places in scopes.items()}


def _gaps(
    held: Sequence[PolicyCoverage], seen: _Seen, tried: Sequence[Phase], phases: Sequence[Phase]
) -> Iterator[CoverageGap]:
    groups: dict[tuple[int | None, str, str], set[PolicyScope]] = {}
    for one in held:
        if one.comparable:
            groups.setdefault((one.profile, one.key, one.bank), set()).update(one.places)

    for (owner, key, bank), places in groups.items():
        for indices in seen.get(owner, {}).values():
            # A key whose policies hold nowhere in this profile is expected to have one for each phase asked for.
            expected_phases = {place.phase for place in places if place.case in indices} or set(phases)
            for index, phase in product(indices, (phase for phase in tried if phase in expected_phases)):
                if PolicyScope(index, phase) not in places:
                    yield CoverageGap(key, bank, PolicyScope(index, phase))
