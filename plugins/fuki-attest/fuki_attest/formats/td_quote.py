"""Quotes of Intel TDX, versions 4 and 5: a report body, signed by a quoting enclave with a key that Intel certified.

Source: Intel, "TDX DCAP Quoting Library API", appendix A.
"""

from struct import Struct

import msgspec
from fuki_build.errors import FormatError
from fuki_build.formats.reader import unpack

from fuki_attest.formats import td_report
from fuki_attest.formats.td_report import TdBody

MAX_SIZE = 256 * 1024
VERSIONS = (4, 5)
ECDSA_P256 = 2
INTEL = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
"""The vendor id of Intel's quoting enclaves."""

HEADER_SIZE = 48
_HEADER = Struct("<HHIHH16s20s")  # version, kind of key, TEE, reserved, reserved, vendor, user data
_BODY_KIND = Struct("<HI")  # kind of body, size
_BODY_SIZES = {2: td_report.BODY_SIZE, 3: td_report.BODY_15_SIZE}
_SIZE = Struct("<I")
_CERTIFICATION = Struct("<HI")  # kind, size
_QE_CERTIFICATION, _PCK_CHAIN = 6, 5
_QE = Struct("<16sI28x16s32s32x32s96xHH60x64s")


class QeReport(msgspec.Struct, frozen=True, kw_only=True):
    """The quoting enclave's own report: what it is, and a digest of the key that it signs with."""

    cpu_svn: bytes
    misc_select: int
    attributes: bytes
    mr_enclave: bytes
    mr_signer: bytes
    product: int
    svn: int
    report_data: bytes
    signed: bytes


class TdQuote(msgspec.Struct, frozen=True, kw_only=True):
    """A quote. `key` is the enclave's, as x and y of P-256; signatures are r and s; `certificates` the chain in PEM.

    `raw` is all of the quote, `rest` what follows it, without zeros.
    """

    version: int
    vendor: bytes
    user_data: bytes
    body: TdBody
    signed: bytes
    signature: bytes
    key: bytes
    qe_report: QeReport
    qe_signature: bytes
    qe_authentication: bytes
    certificates: bytes
    raw: bytes
    rest: bytes


def decode(data: bytes) -> TdQuote:
    """Raises `FormatError`. Anything may follow: guests hand out the whole of the buffer. Nothing vouches for that."""
    if len(data) > MAX_SIZE:
        raise FormatError(f"a quote of {len(data)} bytes is beyond belief (limit {MAX_SIZE})")

    version, key_kind, tee, *_, vendor, user_data = unpack(_HEADER, data, 0, "the header of a quote")
    if version not in VERSIONS or tee != td_report.TDX_TYPE:
        raise FormatError(f"this is no quote of TDX of version 4 or 5 (version {version}, TEE {tee:#x})")
    if key_kind != ECDSA_P256:
        raise FormatError(f"the quote is signed with a key of kind {key_kind}, and {ECDSA_P256} (ECDSA P-256) is known")

    start, size = _body_place(data, version)
    body = _take(data, start, size, "the body of a quote")
    end = start + size
    (length,) = unpack(_SIZE, data, end, "the size of a quote's signature")
    signature = _take(data, end + _SIZE.size, length, "the signature of a quote")
    whole = end + _SIZE.size + length

    kind, size = unpack(_CERTIFICATION, signature, 128, "the certification of a quote")
    if kind != _QE_CERTIFICATION or 128 + _CERTIFICATION.size + size != len(signature):
        raise FormatError(f"the quote's certification is of kind {kind} and {size} bytes, not the enclave's report")
    enclave = signature[128 + _CERTIFICATION.size :]
    authentication, certificates = _enclave_certification(enclave)

    return TdQuote(
        version=version,
        vendor=vendor,
        user_data=user_data,
        body=td_report.decode_body(body),
        signed=data[:end],
        signature=signature[:64],
        key=signature[64:128],
        qe_report=_qe_report(enclave),
        qe_signature=enclave[_QE.size : _QE.size + 64],
        qe_authentication=authentication,
        certificates=certificates,
        raw=data[:whole],
        rest=data[whole:].rstrip(b"\0"),
    )


def _body_place(data: bytes, version: int) -> tuple[int, int]:
    if version == VERSIONS[0]:
        return HEADER_SIZE, td_report.BODY_SIZE
    kind, size = unpack(_BODY_KIND, data, HEADER_SIZE, "the kind of a quote's body")
    if size != _BODY_SIZES.get(kind):
        raise FormatError(f"the quote has a body of kind {kind} and {size} bytes; TDX's are {_BODY_SIZES}")
    return HEADER_SIZE + _BODY_KIND.size, size


def _enclave_certification(enclave: bytes) -> tuple[bytes, bytes]:
    """What the enclave's report authenticates besides the key, and the chain of certificates in PEM."""
    at = _QE.size + 64
    (size,) = unpack(Struct("<H"), enclave, at, "the size of the enclave's authentication data")
    authentication = _take(enclave, at + 2, size, "the enclave's authentication data")

    at += 2 + size
    kind, size = unpack(_CERTIFICATION, enclave, at, "the certification of the enclave")
    at += _CERTIFICATION.size
    if kind != _PCK_CHAIN or at + size != len(enclave):
        raise FormatError(f"the enclave is certified by data of kind {kind}, and {_PCK_CHAIN} (a PEM chain) is known")
    return authentication, enclave[at:].rstrip(b"\0")


def _qe_report(data: bytes) -> QeReport:
    fields = unpack(_QE, data, 0, "the report of the quoting enclave")
    return QeReport(
        cpu_svn=fields[0],
        misc_select=fields[1],
        attributes=fields[2],
        mr_enclave=fields[3],
        mr_signer=fields[4],
        product=fields[5],
        svn=fields[6],
        report_data=fields[7],
        signed=data[: _QE.size],
    )


def _take(data: bytes, at: int, size: int, description: str) -> bytes:
    if at + size > len(data):
        raise FormatError(f"{description} is cut short ({size} bytes expected at {at:#x}, data ends at {len(data):#x})")
    return data[at : at + size]
