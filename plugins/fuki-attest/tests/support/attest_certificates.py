"""Certificates of test authorities, and values in DER, as hardware vendors put them into certificates."""

from collections.abc import Sequence
from datetime import UTC, datetime
from struct import pack

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ObjectIdentifier

START, END = datetime(2024, 1, 1, tzinfo=UTC), datetime(2044, 1, 1, tzinfo=UTC)
_Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def certificate(
    name: str,
    key: _Private,
    issuer: "Authority | None" = None,
    *,
    extensions: Sequence[tuple[str, bytes]] = (),
    ca: bool = True,
    start: datetime = START,
    end: datetime = END,
) -> x509.Certificate:
    """A certificate for a key, by an authority or by itself."""
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca, None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key((issuer.key if issuer else key).public_key()),
            critical=False,
        )
        .add_extension(
            x509.KeyUsage(
                digital_signature=not ca,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=ca,
                crl_sign=ca,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
    )
    for oid, value in extensions:
        builder = builder.add_extension(x509.UnrecognizedExtension(ObjectIdentifier(oid), value), critical=False)

    signer = issuer.key if issuer else key
    if isinstance(signer, rsa.RSAPrivateKey):
        scheme = padding.PSS(padding.MGF1(hashes.SHA384()), 48)
        return builder.sign(signer, hashes.SHA384(), rsa_padding=scheme)
    return builder.sign(signer, hashes.SHA256())


class Authority:
    """A key that signs certificates, with its own."""

    def __init__(self, name: str, key: _Private, issuer: "Authority | None" = None) -> None:
        self.key = key
        self.certificate = certificate(name, key, issuer)

    def revoked(self, *serials: int, until: datetime = END) -> bytes:
        """The list of certificates that it revoked, in DER."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(START)
            .next_update(until)
            .add_extension(x509.CRLNumber(1), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        for serial in serials:
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(START).build()
            builder = builder.add_revoked_certificate(entry)
        if isinstance(self.key, rsa.RSAPrivateKey):
            scheme = padding.PSS(padding.MGF1(hashes.SHA384()), 48)
            return builder.sign(self.key, hashes.SHA384(), rsa_padding=scheme).public_bytes(Encoding.DER)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.DER)


def der(one: x509.Certificate) -> bytes:
    return one.public_bytes(Encoding.DER)


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(one.public_bytes(Encoding.PEM) for one in certificates)


def value(tag: int, content: bytes) -> bytes:
    """A DER value (X.690)."""
    size = len(content)
    head = bytes([size]) if size < 128 else bytes([0x81, size]) if size < 256 else bytes([0x82]) + pack(">H", size)
    return bytes([tag]) + head + content


def integer(number: int) -> bytes:
    return value(2, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def pair(oid: str, content: bytes) -> bytes:
    first, second, *rest = map(int, oid.split("."))
    encoded = bytes([first * 40 + second]) + b"".join(_base128(number) for number in rest)
    return value(0x30, value(6, encoded) + content)


def _base128(number: int) -> bytes:
    digits = [number & 0x7F]
    while number := number >> 7:
        digits.append(number & 0x7F | 0x80)
    return bytes(reversed(digits))
