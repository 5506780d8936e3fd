"""The steps of a verification, and what the user asked for."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from enum import StrEnum

from cryptography import x509
from fuki_build.hooks import View
from msgspec import Struct

from fuki_attest.formats.snp_report import SnpTcb


class StepVerdict(StrEnum):
    HOLDS = "holds"
    FAILS = "does not hold"
    UNVERIFIED = "not verified"
    """What it would be held against was not given, or cannot be had."""


class StepKind(StrEnum):
    """What a step is about."""

    SIGNATURE = "signature"
    """The evidence is as a key signed it."""
    ENDORSEMENT = "endorsement"
    """A vendor's root, or the user, vouches for that key."""
    RECOGNITION = "recognition"
    """The user named that very key."""
    VOUCHED = "vouched"
    """Other evidence vouches for that key."""
    REVOCATION = "revocation"
    PLATFORM = "platform"
    """Processor and firmware are what the key was made for, and as new as was asked."""
    ADVISORY = "advisory"
    """The vendor knows no weakness of the platform's versions."""
    CONFIDENTIALITY = "confidentiality"
    """Nobody outside may look into the guest."""
    POLICY = "policy"
    """The guest was launched with the policy of its recipe."""
    OWNER = "owner"
    """The guest has the ids, keys and data that its owner gave it."""
    FIRMWARE = "firmware"
    """The guest started with the image's firmware."""
    BOOT = "boot"
    """What the firmware started is the image's."""
    FRESHNESS = "freshness"
    BINDING = "binding"
    """Pieces of evidence belong together."""


class EvidenceStep(View, frozen=True, kw_only=True):
    """One step: what of which evidence was held against what. `asked` tells whether the exit code depends on it."""

    kind: StepKind
    subject: str
    claim: str
    against: str
    verdict: StepVerdict
    detail: str = ""
    asked: bool = True

    @property
    def is_answered(self) -> bool:
        """Whether what the user asked for is the case."""
        return self.verdict is StepVerdict.HOLDS or (self.verdict is StepVerdict.UNVERIFIED and not self.asked)


class AppraisalPolicy(Struct, frozen=True, kw_only=True):
    """What the user asks of evidence (RFC 9334, 8.5).

    `roots` stand in place of the pinned ones; `keys` are attestation keys to trust, SPKI.

    `collateral` tells that some was given, so that what it decides is asked for.
    """

    at: datetime
    roots: tuple[x509.Certificate, ...] = ()
    keys: tuple[bytes, ...] = ()
    collateral: bool = False
    nonce: bytes | None = None
    minimum_tcb: SnpTcb | None = None
    allow_debug: bool = False
    allow_migration: bool = False


class About(Struct, frozen=True):
    """Makes the steps about one subject."""

    subject: str

    def step(self, kind: StepKind, claim: str, against: str, holds: bool, detail: str = "") -> EvidenceStep:
        """A step that was done; the detail is told where it does not hold."""
        return EvidenceStep(
            kind=kind,
            subject=self.subject,
            claim=claim,
            against=against,
            verdict=StepVerdict.HOLDS if holds else StepVerdict.FAILS,
            detail="" if holds else detail,
        )

    def not_verified(self, kind: StepKind, claim: str, against: str, why: str, *, asked: bool) -> EvidenceStep:
        """A step that could not be done."""
        return EvidenceStep(
            kind=kind,
            subject=self.subject,
            claim=claim,
            against=against,
            verdict=StepVerdict.UNVERIFIED,
            detail=why,
            asked=asked,
        )


Steps = Iterator[EvidenceStep]


def unanswered(steps: Sequence[EvidenceStep]) -> list[EvidenceStep]:
    """The steps for which the verification as a whole does not hold."""
    return [step for step in steps if not step.is_answered]


def confidentiality_step(about: About, claim: str, against: str, weakness: str, *, allowed: bool) -> EvidenceStep:
    """A bit that opens the guest's memory to others; `weakness` says how, and is empty where it is not set."""
    if weakness and allowed:
        return about.not_verified(StepKind.CONFIDENTIALITY, claim, against, f"you allow it: {weakness}", asked=False)
    return about.step(StepKind.CONFIDENTIALITY, claim, against, not weakness, weakness)


def nonce_step(about: About, field: str, value: bytes, policy: AppraisalPolicy) -> EvidenceStep:
    """A field that carries a challenge, against the nonce that was given; zeros may fill up a field of fixed size."""
    if policy.nonce is None:
        why = f"no nonce was given: the evidence may be an old one; {field} is {value.hex()}"
        return about.not_verified(StepKind.FRESHNESS, "it answers the challenge", "the nonce", why, asked=False)
    holds = len(policy.nonce) <= len(value) and policy.nonce.ljust(len(value), b"\0") == value
    return about.step(StepKind.FRESHNESS, "it answers the challenge", "the nonce", holds, f"{field} is {value.hex()}")
