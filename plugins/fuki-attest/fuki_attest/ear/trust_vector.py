"""Which claims of trustworthiness the steps of a verification support.

Source: draft-ietf-rats-ar4si, 2.3.2 (tiers) and 2.3.4 (values). Nothing is affirmed that no step showed, nor of
evidence that is not genuine. File system, storage and sourced data are never claimed: no evidence tells of them.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import asdict

from fuki_attest.verify.steps import EvidenceStep, StepKind, StepVerdict, unanswered


class TrustTier(StrEnum):
    """The four tiers of the draft."""

    AFFIRMING = "affirming"
    NONE = "none"
    """Something that was asked for could not be verified."""
    WARNING = "warning"
    CONTRAINDICATED = "contraindicated"


_ORDER = tuple(TrustTier)
"""From the most trust to the least: what was not verified is worth less than what was."""
_WARNINGS = range(32, 96)


class TrustVector(Struct, frozen=True, kw_only=True, rename="kebab"):
    """The claims that are made, by their numbers in the draft."""

    instance_identity: int | UnsetType = UNSET
    configuration: int | UnsetType = UNSET
    executables: int | UnsetType = UNSET
    hardware: int | UnsetType = UNSET
    runtime_opaque: int | UnsetType = UNSET

    @property
    def claims(self) -> Mapping[str, int]:
        """The claims by field."""
        return {name: value for name, value in asdict(self).items() if value is not UNSET}


_IDENTITY = "identity"
"""In the table: `hardware` of evidence by a processor, `instance_identity` of other keys."""
_DENIED: Mapping[StepKind, tuple[tuple[str, int], ...]] = {
    StepKind.SIGNATURE: ((_IDENTITY, 99),),
    StepKind.ENDORSEMENT: ((_IDENTITY, 97),),
    StepKind.REVOCATION: ((_IDENTITY, 96),),
    StepKind.PLATFORM: (("hardware", 96),),
    StepKind.ADVISORY: (("hardware", 32),),
    StepKind.CONFIDENTIALITY: (("configuration", 96), ("runtime_opaque", 96)),
    StepKind.POLICY: (("configuration", 96),),
    StepKind.OWNER: (("configuration", 96),),
    StepKind.FIRMWARE: (("executables", 96),),
    StepKind.BOOT: (("executables", 96),),
}
"""Claims and values where a step does not hold. A step of another kind bears on no claim, but on the status."""
_AFFIRMED: Mapping[StepKind, tuple[str, int]] = {
    StepKind.RECOGNITION: ("instance_identity", 2),
    StepKind.POLICY: ("configuration", 2),
    StepKind.BOOT: ("executables", 3),
    StepKind.PLATFORM: ("hardware", 2),
    StepKind.CONFIDENTIALITY: ("runtime_opaque", 2),
}
_WHOLE = {StepKind.BOOT, StepKind.CONFIDENTIALITY}
"""Kinds of which each step must hold, also one that was not asked for: one open door is enough."""
_PROOF = {
    StepKind.SIGNATURE,
    StepKind.ENDORSEMENT,
    StepKind.RECOGNITION,
    StepKind.VOUCHED,
    StepKind.REVOCATION,
    StepKind.BINDING,
}


def vector_of(own: Sequence[EvidenceStep], everything: Sequence[EvidenceStep]) -> TrustVector:
    """The claims that the steps about one piece of evidence support, which may rest on those about `everything`."""
    kinds = {step.kind for step in own}
    identity = "hardware" if StepKind.PLATFORM in kinds else "instance_identity"

    denied: dict[str, int] = {}
    for step in own:
        for name, value in _DENIED.get(step.kind, ()) if step.verdict is StepVerdict.FAILS else ():
            claim = identity if name == _IDENTITY else name
            denied[claim] = max(value, denied.get(claim, 0))

    affirmed: dict[str, int] = {}
    if _is_genuine(everything if StepKind.VOUCHED in kinds else own):
        affirmed = dict(claim for kind, claim in _AFFIRMED.items() if _holds(own, kind))
    if unanswered([step for step in own if step.kind is StepKind.ADVISORY]):
        affirmed.pop("hardware", None)
    return TrustVector(**{**affirmed, **denied})


def _is_genuine(steps: Sequence[EvidenceStep]) -> bool:
    """Whether the evidence is by a key which somebody vouches for, as far as was asked."""
    proof = [step for step in steps if step.kind in _PROOF]
    holding = {step.kind for step in proof if step.verdict is StepVerdict.HOLDS}
    is_endorsed = bool(holding & {StepKind.ENDORSEMENT, StepKind.RECOGNITION})
    return StepKind.SIGNATURE in holding and is_endorsed and not unanswered(proof)


def _holds(steps: Sequence[EvidenceStep], kind: StepKind) -> bool:
    own = [step for step in steps if step.kind is kind]
    verdicts = {step.verdict for step in own}
    if kind in _WHOLE and verdicts != {StepVerdict.HOLDS}:
        return False
    return StepVerdict.HOLDS in verdicts and not unanswered(own)


def status_of(steps: Sequence[EvidenceStep], vector: TrustVector) -> TrustTier:
    """The worst tier of the vector; no better than what the steps say that bear on none of its claims."""
    tiers = [_tier(value) for value in vector.claims.values()]
    if any(step.verdict is StepVerdict.FAILS and step.kind not in _DENIED for step in steps):
        tiers.append(TrustTier.CONTRAINDICATED)
    if unanswered(steps) or not tiers:
        tiers.append(TrustTier.NONE)
    return worst(tiers)


def worst(tiers: Iterable[TrustTier]) -> TrustTier:
    """The tier of least trust; none where there are no tiers."""
    return max(tiers, key=_ORDER.index, default=TrustTier.NONE)


def _tier(value: int) -> TrustTier:
    """The tier of a claim's value, among those that are made here."""
    if value in _WARNINGS:
        return TrustTier.WARNING
    return TrustTier.AFFIRMING if value < _WARNINGS.start else TrustTier.CONTRAINDICATED
