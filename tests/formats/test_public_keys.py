"""What a public key tells of its signatures, held against signatures that cryptography makes."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fuki_build.formats.asn1 import x509


def encoded(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize("bits", [2048, 3072])
def test_every_signature_of_an_rsa_key_is_as_long_as_told(bits: int):
    key = rsa.generate_private_key(65537, bits)

    assert x509.is_rsa(encoded(key))
    assert x509.largest_signature(encoded(key)) == len(key.sign(b"image", padding.PKCS1v15(), SHA256()))


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_no_signature_of_an_elliptic_curve_key_is_longer_than_told(curve: ec.EllipticCurve):
    key = ec.generate_private_key(curve)
    sizes = {len(key.sign(number.to_bytes(2), ec.ECDSA(SHA256()))) for number in range(64)}

    assert not x509.is_rsa(encoded(key))
    assert max(sizes) <= x509.largest_signature(encoded(key)) <= max(sizes) + 3
