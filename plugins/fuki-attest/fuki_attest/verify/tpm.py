"""TPM quotes: whose key signed them, and what the registers had."""

import hashlib
from collections.abc import Mapping, Sequence

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fuki_build.formats.tcg.event_log import EventLog
from msgspec import Struct

from fuki_attest.formats import certificate
from fuki_attest.formats.tpm_quote import TpmQuote, TpmSignature, digest_of
from fuki_attest.pieces import Item
from fuki_attest.verify.replay import Values, replay, selected, with_untouched
from fuki_attest.verify.signatures import verifies_tpm
from fuki_attest.verify.steps import About, AppraisalPolicy, StepKind, Steps, nonce_step
from fuki_attest.verify.trust import TrustStore, chain_steps

_KEY = "an attestation key"


class AttestationKey(Struct, frozen=True):
    """A key that may have signed a quote; `certificate` if it came in one, `vouched` if a paravisor's report has it."""

    name: str
    spki: bytes
    certificate: x509.Certificate | None = None
    vouched: bool = False


class TpmContext(Struct, frozen=True, kw_only=True):
    """What a quote is held against."""

    keys: Sequence[AttestationKey]
    signatures: Sequence[TpmSignature]
    registers: Sequence[tuple[str, Values]]
    logs: Sequence[tuple[str, EventLog]]


def of_certificate(item: Item) -> AttestationKey:
    """The key of a certificate."""
    spki = item.value.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return AttestationKey(certificate.name(item.value), spki, item.value)


def steps(item: Item, context: TpmContext, trusted: TrustStore, policy: AppraisalPolicy) -> Steps:
    """All that can be said of one quote."""
    quote: TpmQuote = item.value
    about = About(item.name)
    signed = None

    if not context.signatures:
        yield about.not_verified(StepKind.SIGNATURE, "signature", _KEY, "no signature was given", asked=True)
    elif not context.keys:
        yield about.not_verified(StepKind.SIGNATURE, "signature", _KEY, "no key was given", asked=True)
    else:
        pairs = ((key, one) for key in context.keys for one in context.signatures)
        signed = next(((key, one) for key, one in pairs if verifies_tpm(key.spki, one, quote.signed)), None)
        names = signed[0].name if signed else " or ".join(key.name for key in context.keys)
        yield about.step(
            StepKind.SIGNATURE, "signature", names, signed is not None, "another key made it, or the quote was changed"
        )

    if signed is not None:
        yield from _key_steps(about, signed[0], trusted, policy)
    yield nonce_step(about, "its nonce", quote.nonce, policy)
    yield from _register_steps(about, quote, context, signed[1].algorithm if signed else None)


def _key_steps(about: About, key: AttestationKey, trusted: TrustStore, policy: AppraisalPolicy) -> Steps:
    """Why the key is one to trust: the user says so, a certificate does, or a report of the hardware."""
    claim = "attestation key"
    if key.spki in policy.keys:
        yield about.step(StepKind.RECOGNITION, claim, "the keys that you trust", holds=True)
    elif key.certificate is not None:
        yield from chain_steps(about, key.certificate, trusted, policy)
    elif key.vouched:
        yield about.step(StepKind.VOUCHED, claim, "the claims of the HCL report", holds=True)
    else:
        why = f"nothing says whose key it is: name it with --trusted-key ({hashlib.sha256(key.spki).hexdigest()})"
        yield about.not_verified(StepKind.ENDORSEMENT, claim, "a trusted key", why, asked=True)


def _register_steps(about: About, quote: TpmQuote, context: TpmContext, algorithm: str | None) -> Steps:
    name = algorithm or ("sha384" if len(quote.digest) == 48 else "sha256")
    registers = "registers of the quote"
    if not context.registers and not context.logs:
        yield about.not_verified(StepKind.BINDING, registers, "values or a log", "neither was given", asked=False)

    for source, values in context.registers:
        digest = digest_of(quote, values, name)
        yield about.step(
            StepKind.BINDING, registers, source, digest == quote.digest, "the values have another digest, or some lack"
        )
    for source, log in context.logs:
        yield from _log_steps(about, quote, source, log, context.registers, name)


def _log_steps(
    about: About,
    quote: TpmQuote,
    source: str,
    log: EventLog,
    registers: Sequence[tuple[str, Mapping[tuple[str, int], bytes]]],
    algorithm: str,
) -> Steps:
    """The log's replay against the quote; where the values are known, it is told which register differs."""
    replayed = with_untouched(replay(log), quote)
    holds = digest_of(quote, replayed, algorithm) == quote.digest
    detail = "its events give other registers"

    quoted = [values for _, values in registers if digest_of(quote, values, algorithm) == quote.digest]
    if quoted and not holds:
        different = [
            f"{bank} PCR {register}"
            for bank, register in selected(quote)
            if replayed.get((bank, register)) != quoted[0].get((bank, register))
        ]
        detail = f"it gives other values for {', '.join(different)}: what was measured later, firmware does not log"
    yield about.step(StepKind.BINDING, "registers of the quote", f"the replay of {source}", holds, detail)
