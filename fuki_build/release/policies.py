"""Whether secrets that are sealed to the keys of the old image's policies open with the new image, too."""

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from fuki_build.formats.uki.pcrsig import PolicySignature
from fuki_build.image.section import Section
from fuki_build.image.selection import Selection
from fuki_build.release.reason import Reason, place
from fuki_build.release.released import ReleasedImage
from fuki_build.release.served import NOTHING, ServedMachine
from fuki_build.signing.pcr_policy.coverage import Phase, cover
from fuki_build.signing.pcr_policy.report import BROKEN, FoundPolicies, PolicyVerdict, judge

_USELESS = (*BROKEN, PolicyVerdict.UNSIGNED)
_Case = tuple[int | None, tuple[int, ...]]
"""A profile, and the sections that are measured."""


class _Opening(Struct, frozen=True):
    """How a secret is opened: by a policy of this key (and reference), over a bank's PCR 11 in this phase."""

    key: str
    reference: str | None
    bank: str
    phase: Phase


def policy_objections(old: ReleasedImage, new: ReleasedImage, served: Sequence[ServedMachine]) -> Iterator[Reason]:
    """Where a policy of the old image held, one of the same key must hold with the new image.

    Secrets are sealed to a key (TPM2_PolicyAuthorize), so other policies of that key are as good. Policies that are
    broken count for nothing; those of a key that nobody has count as signed.
    """
    keys = {**old.policies.keys, **new.policies.keys}
    before, after = _policies(old, keys), _policies(new, keys)
    if not before.keys:
        return
    if not after.keys:
        yield Reason("policies-lost", "the new image has no signed PCR policy: no secret of the old one opens with it")
        return

    for key in sorted(before.keys - after.keys):
        yield Reason("policy-key-lost", f"the key {key[:16]} signed policies of the old image, and none of the new one")
    yield from _gaps(before, after, served)


class _Policies(Struct, frozen=True):
    """The keys of an image's good policies, and what they open in each case."""

    keys: frozenset[str]
    openings: Mapping[_Case, frozenset[_Opening]]


def _policies(image: ReleasedImage, keys: Mapping[str, bytes]) -> _Policies:
    known: FoundPolicies = replace(image.policies, keys=keys)
    openings: dict[_Case, set[_Opening]] = {}
    names: set[str] = set()
    for held in cover(known.sections, image.predictions, ()).held:
        if judge(known, held.entry)[0] in _USELESS:
            continue
        names.add(held.key)
        for scope in held.places:
            case = image.predictions[scope.case].case
            opening = _opening(held.key, held.entry, held.bank, scope.phase)
            openings.setdefault(_case(case.profile, case.measured), set()).add(opening)

    return _Policies(frozenset(names), {case: frozenset(of) for case, of in openings.items()})


def _opening(key: str, entry: PolicySignature, bank: str, phase: Phase) -> _Opening:
    return _Opening(key, entry.ref, bank, phase)


def _case(profile: int | None, measured: Sequence[Section]) -> _Case:
    return profile, tuple(section.index for section in measured)


def _gaps(before: _Policies, after: _Policies, served: Sequence[ServedMachine]) -> Iterator[Reason]:
    gaps: dict[tuple[str, str, tuple[str, ...]], dict[str, None]] = {}
    for one in served:
        had = before.openings.get(_case(one.before.profile, one.before.measured), frozenset())
        have = after.openings.get(_case(one.after.profile, one.after.measured), frozenset())
        missing = {opening for opening in had - have if opening.key in after.keys}
        for key in sorted({opening.key for opening in missing}):
            phases = {":".join(opening.phase) or "no phase" for opening in missing if opening.key == key}
            gaps.setdefault((key, _words(one.after), tuple(sorted(phases, key=len))), {})[one.machine] = None

    for (key, case, words), machines in gaps.items():
        text = f"no policy of the key {key[:16]} holds with {case} after {', '.join(words)}"
        yield Reason("policy-gap", text, tuple(name for name in machines if name != NOTHING))


def _words(selection: Selection) -> str:
    words = [] if selection.profile is None else [place(selection.profile)]
    words.append(
        f"firmware {selection.firmware.key}" if selection.firmware and selection.firmware.key else "no firmware"
    )
    if selection.devicetree and selection.devicetree.key:
        words.append(f"devicetree {selection.devicetree.key}")
    return ", ".join(words)
