"""Private keys in all forms that files have, and what of them stays secret."""

import hashlib
import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fuki_build.errors import FormatError
from fuki_build.formats.asn1 import private_key, x509
from fuki_build.testing import secure_boot

PASSPHRASE = "sesame"  # noqa: S105 - of a key that lives as long as a test
FORMS = {
    "PKCS #8": "pkcs8 -topk8 -nocrypt",
    "encrypted PKCS #8": f"pkcs8 -topk8 -v2 aes-256-cbc -passout pass:{PASSPHRASE}",
    "traditional": "rsa -traditional",
    "encrypted traditional": f"rsa -traditional -aes256 -passout pass:{PASSPHRASE}",
    "PKCS #8 in DER": "pkcs8 -topk8 -nocrypt -outform DER",
    "encrypted PKCS #8 in DER": f"pkcs8 -topk8 -v2 aes-256-cbc -outform DER -passout pass:{PASSPHRASE}",
    "traditional in DER": "rsa -traditional -outform DER",
}


@pytest.fixture(scope="module")
def identity():
    return secure_boot.make_identity("Acme")


@pytest.fixture(scope="module")
def pem(identity, tmp_path_factory) -> bytes:
    return secure_boot.write_key(tmp_path_factory.mktemp("key") / "key", identity.key).read_bytes()


def never() -> str:
    raise AssertionError("nobody is to be asked")


def ask() -> str:
    return PASSPHRASE


@pytest.mark.parametrize("form", FORMS)
def test_a_key_in_this_form_is_read(form, identity, pem):
    data = subprocess.run(["openssl", *FORMS[form].split()], input=pem, capture_output=True, check=True).stdout
    key = private_key.decode(data, ask if "encrypted" in form else never)
    assert key.public_key == identity.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    digest = hashlib.sha256(b"message").digest()
    assert x509.verifies(key.public_key, key.sign(digest, "sha256"), digest, "sha256")


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_a_pkcs12_file_brings_its_certificates(identity, tmp_path, passphrase):
    other = secure_boot.make_identity("Other").certificate
    path = secure_boot.write_pkcs12(tmp_path / "p12", identity, other, passphrase=passphrase)
    key = private_key.decode(path.read_bytes(), (lambda: PASSPHRASE) if passphrase else never)
    assert list(key.certificates) == [c.public_bytes(Encoding.DER) for c in (identity.certificate, other)]


@pytest.mark.parametrize("kind", ["p256", "p384"])
def test_two_signatures_of_an_elliptic_curve_key_are_equal(kind):
    made = secure_boot.make_key(kind)
    key = private_key.PrivateKey(made)
    digest = hashlib.sha256(b"message").digest()
    assert key.sign(digest, "sha256") == key.sign(digest, "sha256")


def test_a_signature_on_a_curve_is_that_of_the_rfc():
    """RFC 6979, A.2.5: P-256 and SHA-256 of "sample"."""
    number = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
    key = private_key.PrivateKey(ec.derive_private_key(number, ec.SECP256R1()))
    r = 0xEFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716
    s = 0xF7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8
    assert decode_dss_signature(key.sign(hashlib.sha256(b"sample").digest(), "sha256")) == (r, s)


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_a_signature_of_rsa_is_openssls(algorithm, pem, tmp_path):
    (tmp_path / "key").write_bytes(pem)
    command = ["openssl", "dgst", f"-{algorithm}", "-sign", tmp_path / "key"]
    theirs = subprocess.run(command, input=b"message", capture_output=True, check=True).stdout
    digest = hashlib.new(algorithm, b"message").digest()
    assert private_key.decode(pem, never).sign(digest, algorithm) == theirs


@pytest.mark.parametrize("form", [form for form in FORMS if "encrypted" in form])
@pytest.mark.parametrize(
    ("given", "problem"), [("wrong", "passphrase is wrong"), ("", "and the passphrase is empty|is wrong")]
)
def test_a_wrong_passphrase_is_refused(form, given, problem, pem):
    data = subprocess.run(["openssl", *FORMS[form].split()], input=pem, capture_output=True, check=True).stdout
    with pytest.raises(FormatError, match=problem):
        private_key.decode(data, lambda: given)


def test_a_key_for_rsassa_pss_only_is_refused():
    make = ["openssl", "genpkey", "-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"]
    pem = subprocess.run(make, capture_output=True, check=True).stdout
    forms = {
        "PEM": pem,
        "DER": subprocess.run(
            ["openssl", "pkey", "-outform", "DER"], input=pem, capture_output=True, check=True
        ).stdout,
        "encrypted": subprocess.run(
            ["openssl", "pkey", "-aes256", "-passout", f"pass:{PASSPHRASE}"], input=pem, capture_output=True, check=True
        ).stdout,
    }
    for data in forms.values():
        with pytest.raises(FormatError, match="RSASSA-PSS"):
            private_key.decode(data, ask)


@pytest.mark.parametrize(
    ("data", "hint"),
    [(b"-----BEGIN CERTIFICATE-----\n", "it holds a certificate"), (b"", "PEM, DER or PKCS #12 is expected")],
)
def test_what_is_no_key_is_told_with_what_it_may_be(data, hint):
    with pytest.raises(FormatError) as refusal:
        private_key.decode(data, never)
    assert refusal.value.hint == hint


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "not a private key"),
        (b"nonsense", "not a private key"),
        (b"-----BEGIN CERTIFICATE-----\n", "not a private key"),
        (b"0\x82\x01\x00\x02\x01\x03", "passphrase is wrong, or the file is damaged"),
    ],
)
def test_what_is_no_key_is_refused(data, problem):
    with pytest.raises(FormatError, match=problem):
        private_key.decode(data, ask)


def test_a_key_of_another_kind_is_refused():
    data = subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519"], capture_output=True, check=True).stdout
    with pytest.raises(FormatError, match="neither an RSA nor an elliptic curve key"):
        private_key.decode(data, never)


def test_its_representation_tells_nothing(identity):
    key = private_key.PrivateKey(identity.key)
    prime = identity.key.private_numbers().p
    assert str(prime) not in repr(key)
    assert f"{prime:x}" not in repr(key)
