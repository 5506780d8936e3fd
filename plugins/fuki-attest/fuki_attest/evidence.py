"""Recognising evidence by its content: which file is a report, a certificate, a quote, a log or collateral."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from fuki_build import read_small_file
from fuki_build.errors import FormatError, located
from fuki_build.formats.asn1 import x509 as keys
from fuki_build.formats.tcg import event_log, pcr_text

from fuki_attest.formats import (
    agent_evidence,
    certificate,
    certificate_table,
    collateral,
    paravisor,
    snp_report,
    td_quote,
    td_report,
    tpm_quote,
)
from fuki_attest.formats.tpm_quote import TpmSignature
from fuki_attest.pieces import Evidence, EvidenceKind, Item

T = TypeVar("T")
MAX_SIZE = event_log.MAX_SIZE
_RAW_SIGNATURES = (256, 384, 512)
_SNP_KIND_AT = 0x34
"""Where a report names its signature's algorithm: 1 in every one that can be verified."""
_KNOWN = (
    "known are SNP reports, TDX quotes and reports, TPM quotes, HCL reports, evidence of Trustee's agents, "
    "event logs, certificates, revocation lists and Intel's collateral"
)


def read(paths: Sequence[Path]) -> Evidence:
    """Read files and recognise them. Raises `FukiError` with the file for one that is damaged, or not known."""
    items: list[Item] = []
    for path in paths:
        data = read_small_file(path, MAX_SIZE)
        with located(str(path)):
            items += recognise(data, path.name)
    return Evidence(tuple(items))


def recognise(data: bytes, file: str) -> list[Item]:
    """The pieces of evidence in one file. Raises `FormatError` where it is damaged, or of no known kind."""
    for is_it, decode in _FORMATS:
        if is_it(data):
            return [Item(kind, file, value, origin) for kind, value, origin in decode(data)]
    raise FormatError("this is no evidence of a kind that is known", hint=_KNOWN)


_Pieces = Iterator[tuple[EvidenceKind, Any, str]]


def _is_json(data: bytes) -> bool:
    # A bare signature may begin with any byte, and goes on with such as are in no text.
    return data[:64].isascii() and data[:64].lstrip().startswith(b"{")


def _json(data: bytes) -> _Pieces:
    if b'"tcbInfo"' in data or b'"enclaveIdentity"' in data:
        yield EvidenceKind.COLLATERAL, collateral.decode(data), ""
        return

    evidence = agent_evidence.decode(data)
    if evidence.snp_report is not None:
        yield EvidenceKind.SNP_REPORT, snp_report.decode(evidence.snp_report), "attestation_report"
        yield from _entries(evidence.entries)
    if evidence.hcl_report is not None:
        yield from _hcl_report(evidence.hcl_report)
    if evidence.certificate is not None:
        yield from _certificates(evidence.certificate)
    if evidence.quote is not None:
        yield EvidenceKind.TD_QUOTE, td_quote.decode(evidence.quote), "quote"
    if evidence.log is not None:
        yield EvidenceKind.EVENT_LOG, event_log.decode(evidence.log), "cc_eventlog"
    if evidence.message is not None and evidence.signature is not None:
        yield from _azure_quote(evidence.signature, evidence.message, evidence.registers)


def _azure_quote(signature: bytes, message: bytes, registers: Sequence[bytes]) -> _Pieces:
    yield EvidenceKind.TPM_QUOTE, tpm_quote.decode(message), "message"
    yield EvidenceKind.TPM_SIGNATURE, TpmSignature("rsassa", "sha256", signature), "signature"
    yield EvidenceKind.REGISTERS, {("sha256", number): value for number, value in enumerate(registers)}, "pcrs"


def _is_snp(data: bytes) -> bool:
    if len(data) < snp_report.SIZE:
        return False
    version, algorithm = (int.from_bytes(data[at : at + 4], "little") for at in (0, _SNP_KIND_AT))
    # A version that is not known yet is refused as such, and not as unknown bytes.
    return 1 <= version <= 15 and algorithm == snp_report.ECDSA_P384_SHA384


def _snp(data: bytes) -> _Pieces:
    """A report, alone or with the host's certificate table behind it."""
    yield EvidenceKind.SNP_REPORT, snp_report.decode(data[: snp_report.SIZE]), ""
    rest = data[snp_report.SIZE :]
    if any(rest):
        yield from _table(rest)


def _is_table(data: bytes) -> bool:
    return data[:16] in {order for guid in certificate_table.NAMES for order in (guid.bytes, guid.bytes_le)}


def _table(data: bytes) -> _Pieces:
    yield from _entries([(entry.name, entry.content) for entry in certificate_table.decode(data)])


def _entries(entries: Sequence[tuple[str, bytes]]) -> _Pieces:
    """What a host gives with a report, by kind; others are its own business."""
    for name, content in entries:
        if name == "CRL":
            yield EvidenceKind.REVOCATIONS, certificate.decode_revocations(content), name
        elif name in certificate_table.NAMES.values():
            for decoded in certificate.decode_chain(content):
                yield EvidenceKind.CERTIFICATE, decoded, name


def _is_td_quote(data: bytes) -> bool:
    return len(data) > td_quote.HEADER_SIZE and data[4:8] == b"\x81\0\0\0" and data[1] == 0 and data[0] < 16


def _td_quote(data: bytes) -> _Pieces:
    yield EvidenceKind.TD_QUOTE, td_quote.decode(data), ""


def _is_td_report(data: bytes) -> bool:
    return len(data) == td_report.REPORT_SIZE and data[0] == td_report.TDX_TYPE


def _td_report(data: bytes) -> _Pieces:
    yield EvidenceKind.TD_REPORT, td_report.decode_report(data), ""


def _is_hcl(data: bytes) -> bool:
    return data.startswith(paravisor.MAGIC)


def _hcl_report(data: bytes) -> _Pieces:
    report = paravisor.decode(data)
    yield EvidenceKind.HCL_REPORT, report, ""
    if report.kind == paravisor.SNP:
        yield EvidenceKind.SNP_REPORT, snp_report.decode(report.report), "hardware report"
    else:
        yield EvidenceKind.TD_REPORT, td_report.decode_report(report.report), "hardware report"


def _is_tpm_quote(data: bytes) -> bool:
    return tpm_quote.MAGIC in (data[:4], data[2:6])


def _tpm_quote(data: bytes) -> _Pieces:
    yield EvidenceKind.TPM_QUOTE, tpm_quote.decode(data), ""


def _is_bincode(data: bytes) -> bool:
    return (
        len(data) > 24 * 32
        and data[2:8] == bytes(6)
        and data[:2] in (b"\0\1", b"\x80\1")
        and (tpm_quote.MAGIC in data[8 + 256 : 8 + 400])
    )


def _bincode(data: bytes) -> _Pieces:
    yield from _azure_quote(*tpm_quote.decode_bincode(data))


def _is_armoured(data: bytes) -> bool:
    return b"-----BEGIN " in data[:4096]


def _armoured(data: bytes) -> _Pieces:
    if b"-----BEGIN X509 CRL" in data:
        yield EvidenceKind.REVOCATIONS, certificate.decode_revocations(data), ""
    elif b"-----BEGIN CERTIFICATE" in data:
        yield from _certificates(data)
    else:
        yield EvidenceKind.PUBLIC_KEY, keys.read_public_key(data), ""


def _certificates(data: bytes) -> _Pieces:
    for decoded in certificate.decode_chain(data):
        yield EvidenceKind.CERTIFICATE, decoded, certificate.name(decoded)


def _is_der(data: bytes) -> bool:
    if data[:1] != b"\x30" or len(data) <= 8:
        return False
    # A bare signature may begin with any byte: where it has the size of one, its length must be that of the file.
    return len(data) not in _RAW_SIGNATURES or _der_size(data) == len(data)


def _der_size(data: bytes) -> int:
    """The size of the first value with its head, in bytes, as its length tells (X.690, 8.1.3)."""
    if data[1] < 0x80:
        return 2 + data[1]
    count = data[1] & 0x7F
    return 2 + count + int.from_bytes(data[2 : 2 + count])


def _der(data: bytes) -> _Pieces:
    """A certificate, a revocation list or a public key: whichever it decodes as."""
    for kind, decode in (
        (EvidenceKind.CERTIFICATE, lambda content: certificate.decode_chain(content)[0]),
        (EvidenceKind.REVOCATIONS, certificate.decode_revocations),
        (EvidenceKind.PUBLIC_KEY, keys.read_public_key),
    ):
        value = _attempt(decode, data)
        if value is not None:
            yield kind, value, ""
            return
    raise FormatError("this is DER, and neither a certificate, nor a revocation list, nor a public key")


def _attempt(decode: Callable[[bytes], T], data: bytes) -> T | None:
    try:
        return decode(data)
    except FormatError:
        return None


def _is_signature(data: bytes) -> bool:
    return _attempt(tpm_quote.decode_signature, data) is not None


def _signature(data: bytes) -> _Pieces:
    yield EvidenceKind.TPM_SIGNATURE, tpm_quote.decode_signature(data), ""


def _is_public(data: bytes) -> bool:
    return _attempt(tpm_quote.decode_public, data) is not None


def _public(data: bytes) -> _Pieces:
    yield EvidenceKind.PUBLIC_KEY, tpm_quote.decode_public(data), ""


def _is_log(data: bytes) -> bool:
    log = _attempt(event_log.decode, data)
    return log is not None and len(log.events) > 0


def _log(data: bytes) -> _Pieces:
    yield EvidenceKind.EVENT_LOG, event_log.decode(data), ""


def _registers_of(data: bytes) -> Mapping[tuple[str, int], bytes]:
    if len(data) > 64 * 1024:
        raise FormatError("a list of registers is not as long")
    return pcr_text.decode(data.decode("utf-8", "replace"))


def _is_registers(data: bytes) -> bool:
    return data[:256].isascii() and _attempt(_registers_of, data) is not None


def _registers(data: bytes) -> _Pieces:
    yield EvidenceKind.REGISTERS, dict(_registers_of(data)), ""


def _is_raw_signature(data: bytes) -> bool:
    return len(data) in _RAW_SIGNATURES


def _raw_signature(data: bytes) -> _Pieces:
    """The bare signature that tpm2_quote writes with `-f plain`, of an RSA key."""
    yield EvidenceKind.TPM_SIGNATURE, TpmSignature("rsassa", "sha256", data), ""


_FORMATS: Sequence[tuple[Callable[[bytes], bool], Callable[[bytes], _Pieces]]] = (
    (_is_hcl, _hcl_report),
    (_is_tpm_quote, _tpm_quote),
    (_is_td_quote, _td_quote),
    (_is_json, _json),
    (_is_armoured, _armoured),
    (_is_td_report, _td_report),
    (_is_snp, _snp),
    (_is_table, _table),
    (_is_der, _der),
    (_is_bincode, _bincode),
    (_is_signature, _signature),
    (_is_public, _public),
    (_is_log, _log),
    (_is_registers, _registers),
    (_is_raw_signature, _raw_signature),
)
"""Each kind of file: what tells it, and how it is read. Those with a mark of their own come first."""
