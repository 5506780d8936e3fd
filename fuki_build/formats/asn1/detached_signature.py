"""Detached PKCS #7 SignedData, as authenticated variables carry it: no ContentInfo, no attributes.

Sources: UEFI 2.10, section 8.2.2, and RFC 2315, section 9. Such a signature is over the content itself.
"""

from cryptography.hazmat import asn1
from cryptography.x509 import ObjectIdentifier

from fuki_build.formats.asn1 import der
from fuki_build.formats.asn1.object_identifiers import DIGESTS, ECDSA, RSA
from fuki_build.formats.asn1.signed_data import issuer_and_serial

ALGORITHM = "sha256"
"""The only digest that all firmware takes here."""
_DATA = "1.2.840.113549.1.7.1"
_INTEGER_1 = b"\x02\x01\x01"
_NULL = b"\x05\x00"
_CERTIFICATES = 0xA0
_OCTET_STRING = 0x04


def encode(signature: bytes, certificate: bytes, *, rsa: bool) -> bytes:
    """SignedData in DER with one signer.

    `signature` is over the content's SHA-256, and `certificate`, in DER, belongs to the signing key. Raises
    `FormatError` if it is not a certificate.
    """
    issuer, serial = issuer_and_serial(certificate)
    digest_algorithm = _sequence(_oid(DIGESTS[ALGORITHM]), _NULL)
    signature_algorithm = _sequence(_oid(RSA), _NULL) if rsa else _sequence(_oid(ECDSA[ALGORITHM]))

    # SignerInfo: version, certificate, digest algorithm, signature algorithm, signature.
    signer = _sequence(
        _INTEGER_1,
        _sequence(issuer, asn1.encode_der(serial)),
        digest_algorithm,
        signature_algorithm,
        der.wrap(_OCTET_STRING, signature),
    )

    # SignedData: version, digest algorithms, content type (the content is elsewhere), certificates, signers.
    return _sequence(
        _INTEGER_1,
        der.wrap(der.SET, digest_algorithm),
        _sequence(_oid(_DATA)),
        der.wrap(_CERTIFICATES, certificate),
        der.wrap(der.SET, signer),
    )


def _sequence(*values: bytes) -> bytes:
    return der.wrap(der.SEQUENCE, b"".join(values))


def _oid(name: str) -> bytes:
    return asn1.encode_der(ObjectIdentifier(name))
