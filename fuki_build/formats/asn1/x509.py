"""X.509 certificates and public keys, as they come in files: PEM or DER."""

import base64
import binascii
import hashlib
import re
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA384, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)
from msgspec import Struct

from fuki_build.errors import FormatError
from fuki_build.formats.asn1 import der

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
HASHES: dict[str, type[HashAlgorithm]] = {"sha1": SHA1, "sha256": SHA256, "sha384": SHA384, "sha512": SHA512}
"""By hashlib's names."""
UNREADABLE = (
    ValueError, TypeError, OverflowError, UnsupportedAlgorithm,
    x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType,
)  # fmt: skip
"""What cryptography raises for damaged certificates and keys, and for kinds that it does not know."""


_PSS = bytes.fromhex("06092a864886f70d01010a")
"""The identifier of RSASSA-PSS (RFC 8017, A.2.3), in DER."""
_PEM_PUBLIC_KEY = re.compile(rb"-----BEGIN PUBLIC KEY-----(.*?)-----END", re.DOTALL)


def pss_refused() -> FormatError:
    """The error for a key restricted to RSASSA-PSS: images, variables and policies are signed with PKCS #1 v1.5.

    cryptography loads such a key as any other RSA key; OpenSSL, and so firmware, rejects its signatures.
    """
    hint = "make an ordinary RSA key: openssl genpkey -algorithm RSA"
    return FormatError("the key is for RSASSA-PSS only, which firmware and TPMs do not verify here", hint=hint)


def _refuse_pss(public_key: bytes) -> None:
    """`public_key` is a SubjectPublicKeyInfo: a sequence of the algorithm and the key."""
    try:
        algorithm = der.value(der.items(der.value(public_key))[0])
    except (FormatError, IndexError):
        return  # not this key type; decoding reports what is wrong
    if algorithm.startswith(_PSS):
        raise pss_refused()


def decode_certificates(data: bytes) -> list[bytes]:
    """All certificates of a PEM file, or the only one of a DER file, each in DER. Raises `FormatError`."""
    try:
        if b"-----BEGIN" in data:
            certificates = x509.load_pem_x509_certificates(data)
        else:
            certificates = [x509.load_der_x509_certificate(data)]
    except UNREADABLE as error:
        hint = "it holds a private key" if b"PRIVATE KEY-----" in data else "X.509 in PEM or DER is expected"
        raise FormatError("this is not a certificate", hint=hint) from error

    return [certificate.public_bytes(Encoding.DER) for certificate in certificates]


def public_key_of(certificate: bytes) -> bytes:
    """The public key of a DER certificate, as a SubjectPublicKeyInfo in DER. Raises `FormatError`."""
    decoded = _certificate(certificate)
    try:
        is_pss = decoded.public_key_algorithm_oid == x509.PublicKeyAlgorithmOID.RSASSA_PSS
        key = decoded.public_key()
    except UNREADABLE as error:
        raise FormatError("the certificate's key cannot be read") from error

    if is_pss:
        raise pss_refused()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def read_public_key(data: bytes) -> bytes:
    """The public key of a PEM or DER file, or of the certificate in it, as a SubjectPublicKeyInfo in DER.

    Raises `FormatError`.
    """
    try:
        if b"-----BEGIN PUBLIC KEY" in data:
            key = load_pem_public_key(data)
            _refuse_pss(_pem_content(data))
        elif b"-----BEGIN" in data:
            return public_key_of(decode_certificates(data)[0])
        else:
            key = load_der_public_key(data)
            _refuse_pss(data)
    except UNREADABLE as error:
        raise FormatError("this is not a public key", hint="PEM or DER, or a certificate, is expected") from error

    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _pem_content(data: bytes) -> bytes:
    match = _PEM_PUBLIC_KEY.search(data)
    try:
        return base64.b64decode(match[1]) if match else b""
    except binascii.Error:
        return b""


def encode_public_key(spki: bytes) -> bytes:
    """A SubjectPublicKeyInfo in DER as PEM. Raises `FormatError`."""
    return decode_public_key(spki).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def decode_public_key(spki: bytes) -> PublicKey:
    """An RSA or elliptic curve key from a SubjectPublicKeyInfo. Raises `FormatError` for anything else."""
    try:
        key = load_der_public_key(spki)
    except UNREADABLE as error:
        raise FormatError("this is not a public key") from error

    _refuse_pss(spki)
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        raise FormatError("the key is neither an RSA nor an elliptic curve key")
    return key


def verifies(public_key: bytes, signature: bytes, digest: bytes, algorithm: str) -> bool:
    """Whether a signature over a digest verifies with a key: PKCS #1 v1.5 for RSA, ECDSA in DER."""
    key = decode_public_key(public_key)
    prehashed = Prehashed(HASHES[algorithm]())

    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, digest, padding.PKCS1v15(), prehashed)
        else:
            key.verify(signature, digest, ec.ECDSA(prehashed))
    except (InvalidSignature, *UNREADABLE):
        return False
    return True


def is_rsa(public_key: bytes) -> bool:
    """Whether a SubjectPublicKeyInfo is an RSA key's, not that of an elliptic curve. Raises `FormatError`."""
    return isinstance(decode_public_key(public_key), rsa.RSAPublicKey)


def largest_signature(public_key: bytes) -> int:
    """Bytes of the longest signature by a key: RSA's all have one length, ECDSA's in DER vary. Raises `FormatError`."""
    key = decode_public_key(public_key)
    if isinstance(key, rsa.RSAPublicKey):
        return -(-key.key_size // 8)
    # Two integers below the curve's order, each with a sign byte at worst, each with tag and length, in a sequence.
    integers = 2 * (2 + 1 + -(-key.curve.key_size // 8))
    return integers + (2 if integers < 0x80 else 3)


def rsa_fingerprint(public_key: bytes) -> str:
    """SHA-256 of an RSA key's RSAPublicKey (RFC 8017, A.1.1) in hex: how systemd names the keys of policies.

    Raises `FormatError` for another key.
    """
    key = decode_public_key(public_key)
    if not isinstance(key, rsa.RSAPublicKey):
        raise FormatError("the key is not an RSA key")
    return fingerprint(key.public_bytes(Encoding.DER, PublicFormat.PKCS1))


def fingerprint(data: bytes) -> str:
    """SHA-256 of a certificate or public key in DER, in hex."""
    return hashlib.sha256(data).hexdigest()


def _certificate(data: bytes) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(data)
    except UNREADABLE as error:
        raise FormatError("the certificate cannot be read") from error


def subject(certificate: bytes) -> str:
    """The subject of a DER certificate as text (RFC 4514). Raises `FormatError`."""
    try:
        return _certificate(certificate).subject.rfc4514_string() or "without a name"
    except UNREADABLE as error:
        raise FormatError("the certificate's subject cannot be read") from error


def expires(certificate: bytes) -> datetime:
    """The last moment at which a DER certificate is valid. Raises `FormatError`."""
    return _certificate(certificate).not_valid_after_utc


def to_be_signed_hash(certificate: bytes, algorithm: str) -> bytes:
    """The digest of a certificate's to-be-signed part, by which dbx may list it (UEFI 2.10, 32.4.1)."""
    return hashlib.new(algorithm, _certificate(certificate).tbs_certificate_bytes).digest()


class CertificateFacts(Struct, frozen=True, kw_only=True, rename="kebab"):
    """Fields shown to people; `fingerprint` is the SHA-256 of the certificate's DER in hex."""

    subject: str
    issuer: str
    serial: str
    not_before: datetime
    not_after: datetime
    fingerprint: str


def facts(certificate: bytes) -> CertificateFacts:
    """The fields of a DER certificate. Raises `FormatError` if they cannot be read."""
    decoded = _certificate(certificate)
    try:
        issuer = decoded.issuer.rfc4514_string()
        serial = f"{decoded.serial_number:x}"
    except UNREADABLE as error:
        raise FormatError("the certificate's issuer cannot be read") from error

    return CertificateFacts(
        subject=subject(certificate),
        issuer=issuer,
        serial=serial,
        not_before=decoded.not_valid_before_utc,
        not_after=decoded.not_valid_after_utc,
        fingerprint=fingerprint(certificate),
    )
