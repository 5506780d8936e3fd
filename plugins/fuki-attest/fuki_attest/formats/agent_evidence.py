"""Evidence as the agents of Confidential Containers send it to Trustee: JSON around reports, quotes and logs.

Source: Trustee, `deps/verifier`: `az_snp_vtpm` (versions 0 to 2), `az_tdx_vtpm` (0 and 1), `snp`, `tdx`.
"""

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from fuki_build.errors import FormatError
from fuki_build.formats.documents import decode_json
from msgspec import Meta

from fuki_attest.formats import snp_json

_REGISTERS = 24


class AgentEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """The parts, as far as there are any. `message` and `signature` are a TPM quote, `registers` its SHA-256 bank.

    `entries` are what came with an SNP report, by kind.
    """

    kind: str
    version: int
    hcl_report: bytes | None = None
    certificate: bytes | None = None
    quote: bytes | None = None
    log: bytes | None = None
    message: bytes | None = None
    signature: bytes | None = None
    registers: Sequence[bytes] = ()
    snp_report: bytes | None = None
    entries: Sequence[tuple[str, bytes]] = ()


Bytes = list[Annotated[int, Meta(ge=0, le=255)]]


class _TpmQuote(msgspec.Struct, frozen=True):
    signature: str | Bytes
    message: str | Bytes
    pcrs: list[str | Bytes]


class _AgentFields(msgspec.Struct, frozen=True, kw_only=True):
    """Every key that some kind of evidence has."""

    version: int = 0
    tpm_quote: _TpmQuote | None = None
    quote: _TpmQuote | str | None = None
    hcl_report: str | Bytes | None = None
    report: Bytes | None = None
    vcek: str | None = None
    td_quote: str | Bytes | None = None
    cc_eventlog: str | None = None


def decode(data: bytes) -> AgentEvidence:
    """Raises `FormatError`, also for JSON that is no such evidence."""
    document = decode_json(data, dict[str, Any])
    if "attestation_report" in document:
        snp = snp_json.decode(document)
        return AgentEvidence(kind="snp", version=0, snp_report=snp.report, entries=snp.entries)
    try:
        fields = msgspec.convert(document, _AgentFields)
    except msgspec.ValidationError as error:
        raise FormatError(f"this is no evidence of an agent: {error}") from error

    if isinstance(fields.quote, str):
        log = _base64(fields.cc_eventlog) if fields.cc_eventlog else None
        return AgentEvidence(kind="tdx", version=fields.version, quote=_base64(fields.quote), log=log)

    tpm = fields.tpm_quote or fields.quote
    hcl = fields.hcl_report if fields.hcl_report is not None else fields.report
    if tpm is None or hcl is None or (fields.vcek is None) == (fields.td_quote is None):
        raise FormatError("this is no evidence of an agent: it lacks a TPM quote, an HCL report, or what certifies it")
    if len(tpm.pcrs) != _REGISTERS:
        raise FormatError(f"the evidence has {len(tpm.pcrs)} registers, and {_REGISTERS} are expected")

    return AgentEvidence(
        kind="az-tdx-vtpm" if fields.vcek is None else "az-snp-vtpm",
        version=fields.version,
        hcl_report=_bytes(hcl),
        certificate=None if fields.vcek is None else _certificate(fields.vcek),
        quote=None if fields.td_quote is None else _bytes(fields.td_quote),
        message=_hexadecimal(tpm.message),
        signature=_hexadecimal(tpm.signature),
        registers=[_hexadecimal(register) for register in tpm.pcrs],
    )


def _certificate(text: str) -> bytes:
    """PEM in version 0, later DER in base64."""
    return text.encode() if text.startswith("-----BEGIN") else _base64(text)


def _bytes(value: str | Bytes) -> bytes:
    return _base64(value) if isinstance(value, str) else bytes(value)


def _hexadecimal(value: str | Bytes) -> bytes:
    if not isinstance(value, str):
        return bytes(value)
    try:
        return bytes.fromhex(value)
    except ValueError as error:
        raise FormatError("a part of the evidence is not hexadecimal") from error


def _base64(text: str) -> bytes:
    """Either alphabet, with or without padding."""
    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise FormatError("a part of the evidence is not in base64") from error
