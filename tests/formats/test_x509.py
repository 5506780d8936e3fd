"""Certificates and public keys in the forms in which people have them; openssl makes what they are held against."""

import hashlib
import re
import subprocess
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fuki_build.errors import FormatError
from fuki_build.formats.asn1 import x509
from fuki_build.testing.secure_boot import make_identity

PEM, DER = Encoding.PEM, Encoding.DER
SPKI = PublicFormat.SubjectPublicKeyInfo


@pytest.fixture(scope="module")
def authority():
    return make_identity("Acme CA", authority=True)


@pytest.fixture(scope="module")
def identity(authority):
    return make_identity("Acme db", issuer=authority)


def openssl(data: bytes, *arguments: str) -> bytes:
    return subprocess.run(["openssl", *arguments], input=data, capture_output=True, check=True).stdout


def test_certificates_come_as_pem_or_der(identity, authority):
    own, other = (i.certificate.public_bytes(DER) for i in (identity, authority))
    assert x509.decode_certificates(own) == [own]
    both = identity.certificate.public_bytes(PEM) + b"comment\n" + authority.certificate.public_bytes(PEM)
    assert x509.decode_certificates(both) == [own, other]


@pytest.mark.parametrize("data", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_what_is_no_certificate_is_refused(data):
    with pytest.raises(FormatError, match="not a certificate"):
        x509.decode_certificates(data)


def test_a_certificate_of_an_unknown_version_is_refused(identity):
    der = identity.certificate.public_bytes(DER)
    version = b"\xa0\x03\x02\x01"
    at = der.index(version) + len(version)
    changed = der[:at] + b"\x31" + der[at + 1 :]
    for read in (x509.decode_certificates, x509.facts, x509.public_key_of):
        with pytest.raises(FormatError):
            read(changed)


def test_the_facts_are_those_of_openssl(identity):
    der = identity.certificate.public_bytes(DER)
    facts = x509.facts(der)
    said = openssl(der, "x509", "-inform", "DER", "-noout", "-serial", "-fingerprint", "-sha256").decode()
    assert facts.serial.upper() in said
    assert facts.fingerprint.upper() in said.replace(":", "")
    assert (facts.subject, facts.issuer) == ("CN=Acme db", "CN=Acme CA")


@pytest.mark.parametrize("kind", ["rsa2048", "p256"])
def test_public_keys_come_as_pem_der_or_in_a_certificate(kind):
    made = make_identity("self", kind)
    expected = made.key.public_key().public_bytes(DER, SPKI)
    for data in (expected, made.key.public_key().public_bytes(PEM, SPKI), made.certificate.public_bytes(PEM)):
        assert x509.read_public_key(data) == expected
    assert x509.read_public_key(x509.encode_public_key(expected)) == expected


@pytest.mark.parametrize("data", [b"", b"nonsense", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_what_is_no_public_key_is_refused(data):
    with pytest.raises(FormatError, match="not a public key"):
        x509.read_public_key(data)


def test_the_fingerprint_of_a_policy_key_is_over_its_rsapublickey(identity):
    spki = identity.key.public_key().public_bytes(DER, SPKI)
    rsa = openssl(spki, "rsa", "-pubin", "-inform", "DER", "-RSAPublicKey_out", "-outform", "DER")
    assert x509.rsa_fingerprint(spki) == hashlib.sha256(rsa).hexdigest()


def test_a_signature_is_verified_with_its_key_digest_and_algorithm(identity, authority):
    key, other = (i.key.public_key().public_bytes(DER, SPKI) for i in (identity, authority))
    signature = identity.key.sign(b"message", padding.PKCS1v15(), SHA256())
    digest = hashlib.sha256(b"message").digest()
    assert x509.verifies(key, signature, digest, "sha256")
    assert not x509.verifies(other, signature, digest, "sha256")
    assert not x509.verifies(key, signature, hashlib.sha384(b"message").digest(), "sha384")
    assert not x509.verifies(key, signature[:-1], digest, "sha256")
    assert not x509.verifies(key, signature, digest[:-1], "sha256")


def test_a_key_for_rsassa_pss_only_is_refused_in_every_form(tmp_path):
    """cryptography reads it as an ordinary RSA key, and OpenSSL refuses what that would sign."""
    make = "openssl genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048 -out p.key"
    certify = "openssl req -x509 -new -key p.key -subj /CN=P -days 99 -out p.crt"
    forms = "openssl pkey -in p.key -pubout -out p.pub", "openssl pkey -in p.key -pubout -outform DER -out p.der"
    for command in (make, certify, *forms):
        subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)

    for name in ("p.crt", "p.pub", "p.der"):
        with pytest.raises(FormatError, match="RSASSA-PSS"):
            x509.read_public_key((tmp_path / name).read_bytes())

    with pytest.raises(FormatError, match="RSASSA-PSS"):
        x509.decode_public_key((tmp_path / "p.der").read_bytes())

    with pytest.raises(FormatError, match="RSASSA-PSS"):
        x509.public_key_of(x509.decode_certificates((tmp_path / "p.crt").read_bytes())[0])


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_the_hash_by_which_dbx_lists_a_certificate_is_of_its_first_element(identity, algorithm):
    """RFC 5280, 4.1: Certificate is a sequence of tbsCertificate and what signs it; openssl cuts the first one out."""
    der = identity.certificate.public_bytes(DER)
    listing = openssl(der, "asn1parse", "-inform", "DER").decode().splitlines()[1]
    place = re.search(r"^ *(\d+):d=1 +hl= *(\d+) l= *(\d+) cons", listing)
    assert place
    at, header, size = map(int, place.groups())
    expected = hashlib.new(algorithm, der[at : at + header + size]).digest()
    assert x509.to_be_signed_hash(der, algorithm) == expected


def test_a_certificate_expires_when_openssl_says(identity):
    der = identity.certificate.public_bytes(DER)
    told = openssl(der, "x509", "-inform", "DER", "-noout", "-enddate").decode().strip()
    assert x509.expires(der) == datetime.strptime(told, "notAfter=%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC)
