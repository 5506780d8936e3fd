"""What the paravisor of Azure's confidential machines hands out: a hardware report, and the claims that it vouches for.

Source: Microsoft, "Azure confidential VM guest attestation design", HCL report; the crate az-cvm-vtpm, `hcl`.
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from struct import Struct
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fuki_build.errors import FormatError
from fuki_build.formats.documents import decode_json
from fuki_build.formats.reader import unpack

from fuki_attest.formats import snp_report, td_report

MAGIC = b"HCLA"
MAX_SIZE = 64 * 1024
VERSIONS = (1, 2)
"""The versions that were seen; they have one layout."""
ATTESTATION_KEY = "HCLAkPub"
SNP, TDX = 2, 4

_HEADER = Struct("<4sIIII12x")  # magic, version, size, kind of request, status
_REPORT_ROOM = 1184
_CLAIMS = Struct("<IIIII")  # size, version, kind of report, hash, size of the claims
_HASHES = {1: "sha256", 2: "sha384", 3: "sha512"}
_MAX_KEYS = 16
_MIN_BITS, _MAX_BITS = 1024, 8192


class HclReport(msgspec.Struct, frozen=True, kw_only=True):
    """`report` are the bytes of the hardware's report, `claims` the JSON whose hash that report carries.

    `keys` are the RSA keys of the claims by name, as SubjectPublicKeyInfo in DER.
    """

    version: int
    kind: int
    report: bytes
    algorithm: str
    claims: bytes
    keys: Mapping[str, bytes]
    settings: Mapping[str, Any]
    user_data: bytes

    @property
    def digest(self) -> bytes:
        """The hash of the claims, with which the report data of the hardware's report begins."""
        return hashlib.new(self.algorithm, self.claims).digest()


class _Jwk(msgspec.Struct, frozen=True):
    kid: str
    kty: str
    e: str = ""
    n: str = ""


class _Claims(msgspec.Struct, frozen=True, rename="kebab"):
    keys: list[_Jwk]
    vm_configuration: dict[str, Any] = {}
    user_data: str = ""


def decode(data: bytes) -> HclReport:
    """Raises `FormatError`. Zeros may follow: the TPM's memory holds the report, padded."""
    if len(data) > MAX_SIZE:
        raise FormatError(f"an HCL report of {len(data)} bytes is beyond belief (limit {MAX_SIZE})")

    magic, version, _, _, status = unpack(_HEADER, data, 0, "the header of an HCL report")
    if magic != MAGIC or version not in VERSIONS:
        raise FormatError(f"this is no HCL report of version 1 or 2 (version {version})")
    if status:
        raise FormatError(f"the paravisor had no report to give (status {status})")

    at = _HEADER.size + _REPORT_ROOM
    _, _, kind, algorithm, size = unpack(_CLAIMS, data, at, "the claims of an HCL report")
    if kind not in (SNP, TDX) or algorithm not in _HASHES:
        raise FormatError(f"the HCL report has a report of kind {kind}, hashed with {algorithm}, which are not known")
    at += _CLAIMS.size
    claims = data[at : at + size]
    if len(claims) != size or any(data[at + size :]):
        raise FormatError(f"the claims of the HCL report have {size} bytes, and the data ends at {len(data):#x}")

    room = data[_HEADER.size : _HEADER.size + _REPORT_ROOM]
    report_size = snp_report.SIZE if kind == SNP else td_report.REPORT_SIZE
    if any(room[report_size:]):
        raise FormatError("something stands behind the report in an HCL report")

    decoded = decode_json(claims, _Claims)
    return HclReport(
        version=version,
        kind=kind,
        report=room[:report_size],
        algorithm=_HASHES[algorithm],
        claims=claims,
        keys=_keys(decoded.keys),
        settings=decoded.vm_configuration,
        user_data=_hexadecimal(decoded.user_data),
    )


def _keys(keys: list[_Jwk]) -> dict[str, bytes]:
    if len(keys) > _MAX_KEYS:
        raise FormatError(f"the HCL report has {len(keys)} keys")
    return {key.kid: _public_key(key) for key in keys if key.kty == "RSA"}


def _public_key(key: _Jwk) -> bytes:
    modulus, exponent = (int.from_bytes(_base64(text), "big") for text in (key.n, key.e))
    if not _MIN_BITS <= modulus.bit_length() <= _MAX_BITS:
        raise FormatError(f"the key {key.kid!r} of the HCL report has {modulus.bit_length()} bits")
    try:
        public = rsa.RSAPublicNumbers(exponent, modulus).public_key()
    except ValueError as error:
        raise FormatError(f"the key {key.kid!r} of the HCL report is none: {error}") from error
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise FormatError("a key of the HCL report is not in base64url") from error


def _hexadecimal(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise FormatError("the user data of the HCL report is not hexadecimal") from error
