"""The claims of a result, in JSON: draft-ietf-rats-ear-04, 3 and 3.1."""

import base64
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from fuki_build import __version__
from msgspec import UNSET, Struct, UnsetType

from fuki_attest.ear.trust_vector import TrustTier, TrustVector, status_of, vector_of, worst
from fuki_attest.verify.steps import EvidenceStep, StepKind, StepVerdict

PROFILE = "tag:ietf.org,2026:rats/ear#04"
_NONCE_SIZES = range(8, 65)


class VerifierId(Struct, frozen=True):
    developer: str
    build: str


class VerifierClaims(Struct, frozen=True):
    """What the verifier says of its own accord: verdict, claim, and against what, of each step."""

    fuki_steps: tuple[tuple[str, str, str], ...]


class EarAppraisal(Struct, frozen=True, kw_only=True):
    """What was found of one piece of evidence. `eat_nonce` is the challenge that it answers, where it does."""

    ear_status: TrustTier
    ear_trustworthiness_vector: TrustVector | UnsetType = UNSET
    ear_appraisal_policy_ids: tuple[str, ...] | UnsetType = UNSET
    eat_nonce: str | UnsetType = UNSET
    ear_verifier_claims: VerifierClaims


class AttestationResult(Struct, frozen=True, kw_only=True):
    """The claims; `iat` are seconds since 1970, `submods` the appraisals by evidence, `ear_status` the worst of them.

    `eat_nonce` echoes the challenge that was given, so that the result itself is known to be fresh.
    """

    eat_profile: str
    iat: int
    ear_verifier_id: VerifierId
    ear_status: TrustTier
    eat_nonce: str | UnsetType = UNSET
    submods: Mapping[str, EarAppraisal]


def attestation_result(
    steps: Sequence[EvidenceStep], nonce: bytes | None, policies: Sequence[str], now: datetime
) -> AttestationResult:
    """The result of a verification with this challenge, if any, by policies of these ids, as of now."""
    by_subject: dict[str, list[EvidenceStep]] = {}
    for step in steps:
        by_subject.setdefault(step.subject, []).append(step)

    challenge = _text(nonce) if nonce is not None and len(nonce) in _NONCE_SIZES else UNSET
    submods = {subject: _appraisal(own, steps, challenge, policies) for subject, own in by_subject.items()}
    return AttestationResult(
        eat_profile=PROFILE,
        iat=int(now.astimezone(UTC).timestamp()),
        ear_verifier_id=VerifierId("The fuki authors", f"fuki {__version__}"),
        ear_status=worst(appraisal.ear_status for appraisal in submods.values()),
        eat_nonce=challenge,
        submods=submods,
    )


def _appraisal(
    own: Sequence[EvidenceStep], everything: Sequence[EvidenceStep], challenge: str | UnsetType, policies: Sequence[str]
) -> EarAppraisal:
    vector = vector_of(own, everything)
    is_fresh = any(step.kind is StepKind.FRESHNESS and step.verdict is StepVerdict.HOLDS for step in own)
    return EarAppraisal(
        ear_status=status_of(own, vector),
        ear_trustworthiness_vector=vector if vector.claims else UNSET,
        ear_appraisal_policy_ids=tuple(policies) or UNSET,
        eat_nonce=challenge if is_fresh else UNSET,
        ear_verifier_claims=VerifierClaims(tuple((step.verdict.value, step.claim, step.against) for step in own)),
    )


def _text(nonce: bytes) -> str:
    """Base64 with its padding: the draft counts on 12 to 88 characters."""
    return base64.urlsafe_b64encode(nonce).decode()
