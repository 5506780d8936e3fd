"""TPM quotes, HCL reports, logs, certificates and collateral in words."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from cryptography import x509
from fuki_build.formats.tcg.event_log import EventLog, LogKind

from fuki_attest.formats import certificate, paravisor
from fuki_attest.formats.collateral import SignedCollateral
from fuki_attest.formats.paravisor import HclReport
from fuki_attest.formats.tpm_quote import TpmQuote, TpmSignature
from fuki_attest.pieces import EvidenceKind, Item
from fuki_attest.words import snp, tdx
from fuki_attest.words.fields import FieldView, digest, time


def _tpm_quote(quote: TpmQuote) -> Iterator[FieldView]:
    yield digest("signer", quote.signer)
    yield FieldView("nonce", quote.nonce.hex(), _as_text(quote.nonce))
    yield FieldView("clock", f"{quote.clock} ms", "" if quote.safe else "it may have gone back")
    yield FieldView("resets", str(quote.resets))
    yield FieldView("restarts", str(quote.restarts))
    yield FieldView("firmware version", f"{quote.firmware_version:#x}")
    for bank, registers in quote.selection:
        yield FieldView(f"selection of {bank}", ranges(registers))
    yield digest("digest", quote.digest)


def _signature(signature: TpmSignature) -> Iterator[FieldView]:
    yield FieldView("scheme", signature.scheme)
    yield FieldView("hash", signature.algorithm)


def _registers(values: Mapping[tuple[str, int], bytes]) -> Iterator[FieldView]:
    for (bank, register), value in values.items():
        yield FieldView(f"{bank} PCR {register}", value.hex())


def _public_key(spki: bytes) -> Iterator[FieldView]:
    yield FieldView("sha-256", hashlib.sha256(spki).hexdigest())


def _hcl_report(report: HclReport) -> Iterator[FieldView]:
    yield FieldView("version", str(report.version))
    yield FieldView("hardware report", "SEV-SNP" if report.kind == paravisor.SNP else "TDX")
    yield FieldView(f"{report.algorithm} of the claims", report.digest.hex())
    for name, spki in report.keys.items():
        words = "signs the TPM's quotes" if name == paravisor.ATTESTATION_KEY else ""
        yield FieldView(f"sha-256 of the key {name}", hashlib.sha256(spki).hexdigest(), words)
    for name, value in sorted(report.settings.items()):
        yield FieldView(name, str(value).lower() if isinstance(value, bool) else str(value))
    yield digest("user data", report.user_data)


def _log(log: EventLog) -> Iterator[FieldView]:
    yield FieldView("kind", "of a confidential guest (CCEL)" if log.kind is LogKind.CC else "of a TPM")
    yield FieldView("banks", ", ".join(log.banks))
    yield FieldView("events", str(len(log.events)), "'fuki replay' lists them")
    yield FieldView("registers", ranges(tuple(sorted(log.numbers))))
    if log.flaw:
        yield FieldView("damaged", f"behind byte {log.end}", log.flaw)


def _certificate(decoded: x509.Certificate) -> Iterator[FieldView]:
    yield FieldView("subject", decoded.subject.rfc4514_string())
    yield FieldView("issuer", decoded.issuer.rfc4514_string())
    yield FieldView("valid from", time(decoded.not_valid_before_utc))
    yield FieldView("valid until", time(decoded.not_valid_after_utc))
    yield FieldView("sha-256", certificate.fingerprint(decoded))

    amd = certificate.amd_extensions(decoded)
    if amd is not None:
        yield FieldView("product", amd.product)
        yield FieldView("tcb", snp.tcb(amd.tcb), "what the key was derived from")
        if amd.chip_id is not None:
            yield digest("chip id", amd.chip_id)
        if amd.provider is not None:
            yield FieldView("provider", amd.provider)


def _revocations(revocations: x509.CertificateRevocationList) -> Iterator[FieldView]:
    yield FieldView("issuer", revocations.issuer.rfc4514_string())
    yield FieldView("issued", time(revocations.last_update_utc))
    if revocations.next_update_utc is not None:
        yield FieldView("next update", time(revocations.next_update_utc))
    yield FieldView("revoked", str(len(revocations)))


def _collateral(content: SignedCollateral) -> Iterator[FieldView]:
    yield FieldView("kind", content.kind)
    yield FieldView("of", content.identity)
    yield FieldView("issued", content.issued)
    yield FieldView("next update", content.next_update)


def ranges(numbers: tuple[int, ...]) -> str:
    """Numbers in ascending order, such as `0-7, 11`."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts) or "none"


def _as_text(data: bytes) -> str:
    return repr(data.decode("ascii")) if data and data.isascii() and data.decode("ascii").isprintable() else ""


_WORDS: Mapping[EvidenceKind, Callable[[Any], Iterator[FieldView]]] = {
    EvidenceKind.SNP_REPORT: snp.fields,
    EvidenceKind.TD_QUOTE: tdx.quote_fields,
    EvidenceKind.TD_REPORT: tdx.report_fields,
    EvidenceKind.TPM_QUOTE: _tpm_quote,
    EvidenceKind.TPM_SIGNATURE: _signature,
    EvidenceKind.REGISTERS: _registers,
    EvidenceKind.PUBLIC_KEY: _public_key,
    EvidenceKind.HCL_REPORT: _hcl_report,
    EvidenceKind.EVENT_LOG: _log,
    EvidenceKind.CERTIFICATE: _certificate,
    EvidenceKind.REVOCATIONS: _revocations,
    EvidenceKind.COLLATERAL: _collateral,
}


def fields(item: Item) -> tuple[FieldView, ...]:
    """All fields of a piece of evidence. Raises `FormatError` for a certificate with damaged extensions."""
    return tuple(_WORDS[item.kind](item.value))
