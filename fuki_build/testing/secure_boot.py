"""Keys and certificates as people have them for Secure Boot: authorities, signers, expired and short ones."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

NOW_VALID = datetime(2024, 1, 1, tzinfo=UTC), datetime(2049, 1, 1, tzinfo=UTC)
EXPIRED = datetime(2001, 1, 1, tzinfo=UTC), datetime(2002, 1, 1, tzinfo=UTC)
NOT_YET_VALID = datetime(2048, 1, 1, tzinfo=UTC), datetime(2049, 1, 1, tzinfo=UTC)

KINDS: Mapping[str, Callable[[], PrivateKey]] = {
    **{f"rsa{bits}": partial(rsa.generate_private_key, 65537, bits) for bits in (1024, 2048, 3072, 4096)},
    "p256": partial(ec.generate_private_key, ec.SECP256R1()),
    "p384": partial(ec.generate_private_key, ec.SECP384R1()),
    "p521": partial(ec.generate_private_key, ec.SECP521R1()),
}
"""rsa1024 is too short for any use. rsa4096 takes a second."""

_UNUSED = (
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "encipher_only",
    "decipher_only",
)


class Identity(NamedTuple):
    """A key with its certificate."""

    key: PrivateKey
    certificate: x509.Certificate


def make_key(kind: str = "rsa2048") -> PrivateKey:
    return KINDS[kind]()


def make_certificate(
    subject: str,
    key: PrivateKey,
    issuer: Identity | None = None,
    *,
    authority: bool = False,
    valid: tuple[datetime, datetime] = NOW_VALID,
) -> x509.Certificate:
    """A certificate for code signing, or one that issues others; without an issuer it signs itself."""
    signer = issuer.key if issuer else key
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    usage = {"digital_signature": not authority, "key_cert_sign": authority, "crl_sign": authority}
    usage |= dict.fromkeys(_UNUSED, False)

    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.certificate.subject if issuer else name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(valid[0])
        .not_valid_after(valid[1])
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )

    if not authority:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
    return builder.sign(signer, SHA256())


def make_identity(
    subject: str,
    kind: str = "rsa2048",
    issuer: Identity | None = None,
    *,
    authority: bool = False,
    valid: tuple[datetime, datetime] = NOW_VALID,
) -> Identity:
    key = make_key(kind)
    return Identity(key, make_certificate(subject, key, issuer, authority=authority, valid=valid))


def write_key(path: Path, key: PrivateKey, passphrase: str | None = None, encoding: Encoding = Encoding.PEM) -> Path:
    """PKCS #8, encrypted where there is a passphrase, for nobody else to read."""
    return _private(path, key.private_bytes(encoding, PrivateFormat.PKCS8, _encryption(passphrase)))


def write_certificates(path: Path, *certificates: x509.Certificate, encoding: Encoding = Encoding.PEM) -> Path:
    path.write_bytes(b"".join(certificate.public_bytes(encoding) for certificate in certificates))
    return path


def write_pkcs12(path: Path, identity: Identity, *others: x509.Certificate, passphrase: str | None = None) -> Path:
    """Key, certificate and further certificates in one file; the key's friendly name is the file's stem."""
    name = path.stem.encode()
    data = pkcs12.serialize_key_and_certificates(name, *identity, others or None, _encryption(passphrase))
    return _private(path, data)


def _encryption(passphrase: str | None) -> KeySerializationEncryption:
    return BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()


def _private(path: Path, data: bytes) -> Path:
    path.touch(mode=0o600)
    path.write_bytes(data)
    return path
