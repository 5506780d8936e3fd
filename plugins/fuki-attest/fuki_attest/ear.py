"""Verdicts as EAT attestation results, for services that take what other verifiers say.

Source: draft-ietf-rats-ear-04 in its JSON form; the tiers are those of draft-ietf-rats-ar4si, 2.3.2. These are the
claims of a token: whoever passes them on signs them, and they are worth as much as that key.
"""

import base64
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum

from fuki_build import __version__
from msgspec import UNSET, Struct, UnsetType

from fuki_attest.verify.steps import EvidenceStep, StepVerdict, unanswered

PROFILE = "tag:ietf.org,2026:rats/ear#04"
_NONCE_SIZES = range(6, 67)
"""Bytes of a challenge whose base64 has the 8 to 88 characters of an EAT's nonce (RFC 9711, 4.1)."""


class TrustTier(StrEnum):
    """The status of what was appraised. A warning is never given: what does not hold speaks against it."""

    NONE = "none"
    """Something that was asked for could not be verified."""
    AFFIRMING = "affirming"
    CONTRAINDICATED = "contraindicated"


class VerifierId(Struct, frozen=True):
    developer: str
    build: str


class EarAppraisal(Struct, frozen=True):
    """What was found of one piece of evidence. `fuki_steps` extends it: verdict, claim, and against what."""

    ear_status: TrustTier
    fuki_steps: tuple[tuple[str, str, str], ...]


class AttestationResult(Struct, frozen=True, kw_only=True):
    """The claims; `iat` are seconds since 1970, `submods` the appraisals by evidence."""

    eat_profile: str
    iat: int
    ear_verifier_id: VerifierId
    eat_nonce: str | UnsetType = UNSET
    submods: Mapping[str, EarAppraisal]


def attestation_result(steps: Sequence[EvidenceStep], nonce: bytes | None, now: datetime) -> AttestationResult:
    """The result of a verification with this challenge, if any, as of now."""
    by_subject: dict[str, list[EvidenceStep]] = {}
    for step in steps:
        by_subject.setdefault(step.subject, []).append(step)

    return AttestationResult(
        eat_profile=PROFILE,
        iat=int(now.astimezone(UTC).timestamp()),
        ear_verifier_id=VerifierId("The fuki authors", f"fuki {__version__}"),
        eat_nonce=_text(nonce) if nonce is not None and len(nonce) in _NONCE_SIZES else UNSET,
        submods={subject: _appraisal(own) for subject, own in by_subject.items()},
    )


def _appraisal(steps: Sequence[EvidenceStep]) -> EarAppraisal:
    status = TrustTier.NONE if unanswered(steps) else TrustTier.AFFIRMING
    if any(step.verdict is StepVerdict.FAILS for step in steps):
        status = TrustTier.CONTRAINDICATED
    return EarAppraisal(status, tuple((step.verdict.value, step.claim, step.against) for step in steps))


def _text(nonce: bytes) -> str:
    return base64.urlsafe_b64encode(nonce).rstrip(b"=").decode()
