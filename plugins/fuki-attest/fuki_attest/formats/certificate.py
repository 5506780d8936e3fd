"""Certificates of attestation keys: chains in files, and what AMD and Intel say in extensions of their own.

Sources: AMD, "VCEK Certificate and KDS Interface Specification" (57230), table 8; Intel, "PCK Certificate and CRL
Profile Specification", 1.3.5.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ObjectIdentifier
from fuki_build.errors import FormatError
from fuki_build.formats.asn1 import der
from fuki_build.formats.asn1.x509 import UNREADABLE

from fuki_attest.formats.snp_report import SnpTcb

MAX_SIZE = 256 * 1024
_MAX_CERTIFICATES = 32
_MAX_REVOCATIONS = 4 * 1024 * 1024

_AMD = "1.3.6.1.4.1.3704.1"
_PRODUCT, _HARDWARE_ID, _PROVIDER = f"{_AMD}.2", f"{_AMD}.4", f"{_AMD}.5"
_VERSIONS = {"boot_loader": f"{_AMD}.3.1", "tee": f"{_AMD}.3.2", "snp": f"{_AMD}.3.3", "microcode": f"{_AMD}.3.8"}
_FMC = f"{_AMD}.3.9"
SGX = ObjectIdentifier("1.2.840.113741.1.13.1")
_CHIP_IDS = (64, 8)
"""Bytes of a chip's id, and of those from Turin on."""


class AmdExtensions(msgspec.Struct, frozen=True):
    """What a VCEK or VLEK certifies: versions, the product, and the chip (a VCEK) or the provider (a VLEK)."""

    product: str
    tcb: SnpTcb
    chip_id: bytes | None
    provider: str | None


def decode_chain(data: bytes) -> tuple[x509.Certificate, ...]:
    """The certificates of a file in PEM or DER, in its order. Raises `FormatError`."""
    if len(data) > MAX_SIZE:
        raise FormatError(f"certificates of {len(data)} bytes are beyond belief (limit {MAX_SIZE})")
    try:
        if b"-----BEGIN" in data:
            chain = x509.load_pem_x509_certificates(data)
        else:
            chain = [x509.load_der_x509_certificate(data)]
        for certificate in chain:
            _read_whole(certificate)
    except UNREADABLE as error:
        raise FormatError("this is not a certificate") from error

    if len(chain) > _MAX_CERTIFICATES:
        raise FormatError(f"a chain of {len(chain)} certificates is beyond belief (limit {_MAX_CERTIFICATES})")
    return tuple(chain)


def _read_whole(certificate: x509.Certificate) -> None:
    """Decode all parts that are used: cryptography does so when they are asked for, and raises then."""
    certificate.public_key()
    _ = (certificate.subject.rfc4514_string(), certificate.issuer.rfc4514_string(), certificate.extensions)
    _ = (certificate.not_valid_before_utc, certificate.not_valid_after_utc, certificate.serial_number)


def decode_revocations(data: bytes) -> x509.CertificateRevocationList:
    """A CRL in PEM or DER. Raises `FormatError`."""
    if len(data) > _MAX_REVOCATIONS:
        raise FormatError(f"a list of revoked certificates of {len(data)} bytes is beyond belief")
    try:
        revocations = x509.load_pem_x509_crl(data) if b"-----BEGIN" in data else x509.load_der_x509_crl(data)
        _ = (revocations.issuer.rfc4514_string(), revocations.last_update_utc, revocations.next_update_utc)
        _ = [(revoked.serial_number, revoked.revocation_date_utc) for revoked in revocations]
    except UNREADABLE as error:
        raise FormatError("this is not a list of revoked certificates") from error
    return revocations


def name(certificate: x509.Certificate) -> str:
    """The common name, or all of the subject where it has none. Raises `FormatError`."""
    try:
        names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        return str(names[0].value) if names else certificate.subject.rfc4514_string() or "without a name"
    except UNREADABLE as error:
        raise FormatError("the subject of the certificate cannot be read") from error


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the certificate in DER, in hex."""
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


def is_valid_at(certificate: x509.Certificate, time: datetime) -> bool:
    """Whether the time is within the certificate's."""
    return certificate.not_valid_before_utc <= time <= certificate.not_valid_after_utc


def amd_extensions(certificate: x509.Certificate) -> AmdExtensions | None:
    """AMD's extensions of a VCEK or VLEK; None where there are none. Raises `FormatError` for damaged ones."""
    values = _extensions(certificate)
    if not any(oid.startswith(f"{_AMD}.") for oid in values):
        return None

    missing = [oid for oid in (_PRODUCT, *_VERSIONS.values()) if oid not in values]
    if missing:
        raise FormatError(f"the certificate lacks AMD's extension {missing[0]}")

    versions = {field: _integer(values[oid]) for field, oid in _VERSIONS.items()}
    fmc = _integer(values[_FMC]) if _FMC in values else None
    chip = values.get(_HARDWARE_ID)
    if chip is not None and len(chip) not in _CHIP_IDS:
        chip = _value(chip)  # newer certificates wrap it in an octet string
    provider = values.get(_PROVIDER)

    return AmdExtensions(
        _text(values[_PRODUCT]),
        SnpTcb(**versions, fmc=fmc),
        chip,
        None if provider is None else _text(provider),
    )


def _extensions(certificate: x509.Certificate) -> Mapping[str, bytes]:
    """The values of extensions that cryptography does not know."""
    return {
        extension.oid.dotted_string: extension.value.value
        for extension in certificate.extensions
        if isinstance(extension.value, x509.UnrecognizedExtension)
    }


def _value(data: bytes) -> bytes:
    return der.value(data)


def _integer(data: bytes) -> int:
    value = int.from_bytes(_value(data), "big")
    if not 0 <= value <= 255:
        raise FormatError(f"a version in AMD's extensions is {value}, more than a byte")
    return value


def _text(data: bytes) -> str:
    return _value(data).decode("ascii", "backslashreplace")
