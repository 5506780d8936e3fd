"""Private keys in all forms that files have, and what of them stays secret."""

import hashlib
import subprocess

import pytest
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
