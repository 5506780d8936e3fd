"""Signed policies held against predictions: in which cases and phases each of them holds, and where none does."""

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from fuki_build.formats.pcrsig import PolicySignature, Signatures
from fuki_build.measure import pcr11
from fuki_build.measure.policy import policy_pcr
from fuki_build.measure.predict import Prediction
from fuki_build.measure.registers import PHASES, split_phases

Phase = tuple[str, ...]
"""The words of a phase path; none before the first phase."""
Sections = Mapping[int | None, Signatures]
"""The content of `.pcrsig` in the base (None) and in profiles."""


class Place(Struct, frozen=True):
    """A predicted case, by its index, and a phase of its boot."""

    case: int
    phase: Phase


class Held(Struct, frozen=True):
    """One entry of the `.pcrsig` in the base or a profile, and everywhere that its policy holds.

    An entry that is not `comparable` is over other registers than PCR 11.
    """

    profile: int | None
    bank: str
    entry: PolicySignature
    places: tuple[Place, ...]

    @property
    def comparable(self) -> bool:
        return _comparable(self.entry)


class Gap(Struct, frozen=True):
    """A place where none of a key's policies in a bank holds, though they are for such a phase."""

    key: str
    bank: str
    place: Place


class Coverage(Struct, frozen=True):
    held: tuple[Held, ...]
    gaps: tuple[Gap, ...]


def used_section(sections: Sections, profile: int | None) -> int | None:
    """Whose `.pcrsig` a profile sees: its own, or the base's. Raises `KeyError` where there is none."""
    if profile in sections:
        return profile
    if None in sections:
        return None
    raise KeyError(profile)


def cover(sections: Sections, predictions: Sequence[Prediction], phases: Sequence[Phase]) -> Coverage:
    """Compare every entry with what is predicted in every case, in these phases and the usual ones.

    `predictions` have the banks of the entries. There is a gap where a key has a policy for a phase in another case
    of the profile; where none of its policies holds in a profile at all, in each of `phases`.
    """
    tried = tuple(dict.fromkeys([(), *phases, *map(split_phases, PHASES)]))
    places = _places(sections, predictions, tried)
    held = tuple(
        Held(profile, bank, entry, tuple(places.get((profile, bank, _policy(entry)), ())))
        for profile, signatures in sections.items()
        for bank, entries in signatures.items()
        for entry in entries
    )
    return Coverage(held, tuple(_gaps(sections, predictions, held, tried, phases)))


def _comparable(entry: PolicySignature) -> bool:
    return set(entry.pcrs) == {pcr11.PCR}


def _policy(entry: PolicySignature) -> str:
    return entry.pol.lower() if _comparable(entry) else ""


def _places(
    sections: Sections, predictions: Sequence[Prediction], phases: Sequence[Phase]
) -> dict[tuple[int | None, str, str], list[Place]]:
    """Where each policy digest holds, by the `.pcrsig` that is seen there and the bank."""
    found: dict[tuple[int | None, str, str], list[Place]] = {}
    for index, profile, prediction in _seen(sections, predictions):
        for bank in prediction.banks:
            for phase in phases if bank in sections[profile] else ():
                value = prediction.value(pcr11.PCR, bank, phase)
                if value is not None:
                    policy = policy_pcr({pcr11.PCR: value}, bank).hex()
                    found.setdefault((profile, bank, policy), []).append(Place(index, phase))
    return found


def _seen(sections: Sections, predictions: Sequence[Prediction]) -> Iterator[tuple[int, int | None, Prediction]]:
    """The predictions of profiles that see a `.pcrsig`, with their indices, and whose that is."""
    for index, prediction in enumerate(predictions):
        profile = prediction.case.profile
        if profile in sections or None in sections:
            yield index, used_section(sections, profile), prediction


def _gaps(
    sections: Sections,
    predictions: Sequence[Prediction],
    held: Sequence[Held],
    tried: Sequence[Phase],
    phases: Sequence[Phase],
) -> Iterator[Gap]:
    where: dict[tuple[int | None, str, str], set[Place]] = {}
    for one in held:
        if one.comparable:
            where.setdefault((one.profile, one.entry.pkfp, one.bank), set()).update(one.places)
    booted: dict[tuple[int | None, int | None], list[int]] = {}
    for index, profile, prediction in _seen(sections, predictions):
        booted.setdefault((profile, prediction.case.profile), []).append(index)
    for (profile, _), indices in booted.items():
        for (owner, key, bank), places in where.items():
            if owner != profile:
                continue
            own = {place.phase for place in places if place.case in indices} or set(phases)
            for index in indices:
                for phase in tried:
                    if phase in own and Place(index, phase) not in places:
                        yield Gap(key, bank, Place(index, phase))
