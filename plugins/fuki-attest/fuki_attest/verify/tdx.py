"""TDX quotes: the enclave's key, Intel's certificates, and what Intel says of the platform's TCB."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from fuki_build.errors import FormatError

from fuki_attest.formats import certificate, td_quote
from fuki_attest.formats.collateral import SignedCollateral
from fuki_attest.formats.td_quote import TdQuote
from fuki_attest.formats.td_report import TdBody, TdReport
from fuki_attest.pieces import Item
from fuki_attest.verify import intel
from fuki_attest.verify.signatures import verifies_p256
from fuki_attest.verify.steps import (
    About,
    AppraisalPolicy,
    EvidenceStep,
    StepKind,
    Steps,
    confidentiality_step,
)
from fuki_attest.verify.trust import TrustStore, chain_of, chain_steps
from fuki_attest.words import tdx as words

_INTEL_SIGNER = bytes.fromhex("dc9e2a7c6f948f17474e34a7fc43ed030f7c1563f1babddf6340c82e0e54a8c5")
_TD_ENCLAVE = 2
"""Signer and product of Intel's TD_QE, as its QE identity tells them."""
_ENCLAVE_DEBUG = 2


def quote_steps(
    item: Item, documents: Sequence[SignedCollateral], trusted: TrustStore, policy: AppraisalPolicy
) -> Steps:
    """All that can be said of one quote. Raises `FormatError` for certificates that cannot be read."""
    quote: TdQuote = item.value
    about = About(item.name)
    enclave = quote.qe_report
    yield about.step(
        StepKind.SIGNATURE,
        "signature",
        "the enclave's attestation key",
        verifies_p256(quote.key, quote.signature, quote.signed),
        "another key made it, or the quote was changed",
    )

    digest = hashlib.sha256(quote.key + quote.qe_authentication).digest()
    yield about.step(
        StepKind.SIGNATURE,
        "attestation key",
        "the quoting enclave's report",
        enclave.report_data == digest.ljust(len(enclave.report_data), b"\0"),
        "the enclave's report is about another key",
    )

    chain = certificate.decode_chain(quote.certificates)
    leaf = chain[0]
    yield about.step(
        StepKind.SIGNATURE,
        "quoting enclave's report",
        certificate.name(leaf),
        verifies_p256(leaf.public_key(), quote.qe_signature, enclave.signed),
        "another key signed it, or it was changed",
    )
    yield from _enclave_steps(about, quote)
    yield about.step(
        StepKind.PLATFORM,
        "kind of certificate",
        "Intel's extension of PCK certificates",
        _is_pck(leaf),
        "it certifies no platform",
    )

    # The certificates of a quote are of use for that quote alone.
    own = TrustStore(trusted.roots, (*chain, *trusted.pool), trusted.revocations)
    yield from chain_steps(about, leaf, own, policy)
    yield from _collateral_steps(about, quote, documents, own, policy)
    yield from attribute_steps(about, quote.body, policy)


def _enclave_steps(about: About, quote: TdQuote) -> Steps:
    """Other enclaves may have reports as well: only Intel's signs quotes, and only what it was shipped as."""
    enclave = quote.qe_report
    yield about.step(
        StepKind.PLATFORM,
        "quoting enclave's vendor",
        "Intel",
        quote.vendor == td_quote.INTEL,
        f"it is {quote.vendor.hex()}",
    )
    yield about.step(
        StepKind.PLATFORM,
        "quoting enclave's signer",
        "Intel's quoting enclave for TDX",
        (enclave.mr_signer, enclave.product) == (_INTEL_SIGNER, _TD_ENCLAVE),
        f"it is {enclave.mr_signer.hex()}, product {enclave.product}",
    )
    yield about.step(
        StepKind.PLATFORM,
        "quoting enclave: debugging",
        "off",
        not enclave.attributes[0] & _ENCLAVE_DEBUG,
        "the host may read its keys",
    )


def _is_pck(leaf: x509.Certificate) -> bool:
    return any(extension.oid == certificate.SGX for extension in leaf.extensions)


def _collateral_steps(
    about: About, quote: TdQuote, documents: Sequence[SignedCollateral], trusted: TrustStore, policy: AppraisalPolicy
) -> Steps:
    for document in documents:
        yield _date_step(about, document, policy)

    parts, missing = intel.assemble(quote, documents, trusted)
    claim, against = "platform's TCB and quoting enclave", "Intel's collateral"
    if parts is None:
        yield about.not_verified(
            StepKind.ADVISORY, claim, against, f"there is no {', no '.join(missing)}", asked=policy.collateral
        )
        return

    root = chain_of(certificate.decode_chain(quote.certificates)[0], trusted.pool)[-1].public_bytes(Encoding.DER)
    try:
        status = intel.status(quote, parts, root, policy.at)
    except intel.LibraryMissingError as error:
        yield about.not_verified(StepKind.ADVISORY, claim, against, str(error), asked=True)
        return
    # What Intel knows of the versions is a weakness; a revoked platform, or no verdict at all, speaks against it.
    kind = StepKind.ADVISORY if status.is_up_to_date or status.is_known_weakness else StepKind.PLATFORM
    yield about.step(kind, claim, against, status.is_up_to_date, status.text)


def _date_step(about: About, document: SignedCollateral, policy: AppraisalPolicy) -> EvidenceStep:
    try:
        issued, until = (_moment(text) for text in (document.issued, document.next_update))
    except ValueError as error:
        raise FormatError(f"the dates of the {document.kind} cannot be read") from error
    return about.step(
        StepKind.PLATFORM,
        f"date of the {document.kind}",
        policy.at.strftime("%Y-%m-%d"),
        issued <= policy.at <= until,
        f"it is out of date: it is of {document.issued} until {document.next_update}",
    )


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def attribute_steps(about: About, body: TdBody, policy: AppraisalPolicy) -> Steps:
    """The bits that decide who may look into the guest."""
    debug, migratable = (bool(body.td_attributes >> bit & 1) for bit in (words.DEBUG, words.MIGRATABLE))
    why = "the host may read and change the guest's memory"
    yield confidentiality_step(about, "attributes: debugging", "off", why if debug else "", allowed=policy.allow_debug)
    why = "the guest may be moved elsewhere"
    allowed = policy.allow_migration
    yield confidentiality_step(about, "attributes: migration", "off", why if migratable else "", allowed=allowed)


def report_steps(item: Item, quotes: Sequence[TdQuote]) -> Steps:
    """A bare report: its parts against its hashes, and against the quote of the same guest where there is one."""
    report: TdReport = item.value
    about = About(item.name)
    holds = (
        hashlib.sha384(report.tcb_info).digest() == report.tcb_hash
        and hashlib.sha384(report.td_info).digest() == report.info_hash
    )
    yield about.step(StepKind.SIGNATURE, "parts of the report", "their hashes", holds, "the report was changed")

    body = report.body
    if any(quote.body.report_data == body.report_data and _guest(quote.body) == _guest(body) for quote in quotes):
        yield about.step(StepKind.SIGNATURE, "measurements", "the quote of the same guest", holds=True)
        return
    why = "only the processor that made it can check its MAC"
    if quotes:
        why += "; the quote that was given has other measurements"
    yield about.not_verified(StepKind.SIGNATURE, "authenticity", "the quote of the same guest", why, asked=True)


def _guest(body: TdBody) -> tuple[object, ...]:
    """What a quote and the report that it was made of have in common, whichever machine is asked."""
    return body.mr_td, body.rtmrs, body.mr_config_id, body.mr_owner, body.mr_owner_config, body.td_attributes, body.xfam
