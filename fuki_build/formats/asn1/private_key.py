"""Private keys as they come in files: PEM, DER or PKCS #12, encrypted or not."""

from collections.abc import Callable

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
    pkcs12,
)
from OpenSSL import crypto

from fuki_build.errors import FormatError
from fuki_build.formats.asn1 import der
from fuki_build.formats.asn1.x509 import HASHES, pss_refused

_Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
_EVP_PKEY_RSA_PSS = 912
_PKCS12_VERSION = b"\x02\x01\x03"


class PrivateKey:
    """An RSA or elliptic curve key; `certificates` are those that accompany it in a PKCS #12 file, in DER.

    Its representation reveals nothing about the key.
    """

    def __init__(self, key: _Key, certificates: tuple[bytes, ...] = ()) -> None:
        self._key = key
        self.certificates = certificates

    @property
    def public_key(self) -> bytes:
        """SubjectPublicKeyInfo in DER."""
        return self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def sign(self, digest: bytes, algorithm: str) -> bytes:
        """PKCS #1 v1.5 for RSA, ECDSA in DER with a nonce of RFC 6979: both give the same signature every time."""
        prehashed = Prehashed(HASHES[algorithm]())
        if isinstance(self._key, rsa.RSAPrivateKey):
            return self._key.sign(digest, padding.PKCS1v15(), prehashed)
        return self._key.sign(digest, _ecdsa(prehashed))


def _ecdsa(prehashed: Prehashed) -> ec.ECDSA:
    try:
        return ec.ECDSA(prehashed, deterministic_signing=True)
    except UnsupportedAlgorithm:  # OpenSSL before 3.2
        return ec.ECDSA(prehashed)


def decode(data: bytes, passphrase: Callable[[], str]) -> PrivateKey:
    """Decode a key; `passphrase` is called if it is encrypted. Raises `FormatError` without any part of the key."""
    try:
        return _decode(data, None)
    except (TypeError, _WrongPassphraseError):
        pass

    # Ask for a passphrase only once the key has turned out to be encrypted.
    try:
        return _decode(data, passphrase().encode())
    except TypeError as error:
        raise FormatError("the key is encrypted, and the passphrase is empty") from error
    except _WrongPassphraseError as error:
        raise FormatError("the passphrase is wrong, or the file is damaged") from error


class _WrongPassphraseError(Exception):
    pass


def _decode(data: bytes, password: bytes | None) -> PrivateKey:
    """Raises `TypeError` for a missing password, as cryptography does."""
    certificates: tuple[bytes, ...] = ()
    key: object

    try:
        if _is_pkcs12(data):
            key, own, others = pkcs12.load_key_and_certificates(data, password)
            present = [certificate for certificate in (own, *others) if certificate is not None]
            certificates = tuple(certificate.public_bytes(Encoding.DER) for certificate in present)
        elif b"-----BEGIN" in data:
            key = load_pem_private_key(data, password)
        else:
            key = load_der_private_key(data, password)
    except ValueError as error:
        if password is not None or _is_pkcs12(data):
            raise _WrongPassphraseError from error
        raise FormatError("this is not a private key", hint=_hint(data)) from None
    except UnsupportedAlgorithm:
        raise FormatError("the key is of a kind, or encrypted in a way, that is not supported") from None

    if not isinstance(key, _Key):
        raise FormatError("the key is neither an RSA nor an elliptic curve key")

    if isinstance(key, rsa.RSAPrivateKey) and _is_pss(data, password):
        raise pss_refused()
    return PrivateKey(key, certificates)


def _is_pss(data: bytes, password: bytes | None) -> bool:
    """Whether an RSA key is restricted to RSASSA-PSS, which cryptography does not report for keys that it loads.

    For a PKCS #12 file the certificates say so; whoever signs checks these.
    """
    form = crypto.FILETYPE_PEM if b"-----BEGIN" in data else crypto.FILETYPE_ASN1
    try:
        return crypto.load_privatekey(form, data, password).type() == _EVP_PKEY_RSA_PSS
    except (crypto.Error, ValueError, TypeError):
        return False


def _hint(data: bytes) -> str:
    return "it holds a certificate" if b"BEGIN CERTIFICATE" in data else "PEM, DER or PKCS #12 is expected"


def _is_pkcs12(data: bytes) -> bool:
    """PFX (RFC 7292, 4): a sequence that starts with version 3."""
    try:
        return data[:1] == b"\x30" and der.value(data)[:3] == _PKCS12_VERSION
    except FormatError:
        return False
