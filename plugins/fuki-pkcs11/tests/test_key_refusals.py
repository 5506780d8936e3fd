"""Keys and certificates that cannot be used each end in one error."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_der_public_key


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("objekt=db", "unknown attribute 'objekt'"),
        ("object=db?x=y", "unknown attribute 'x'"),
        ("object=db;type=cert", "not one of a private key"),
        ("object=d b", "must be percent-encoded"),
        ("pkcs11:object=db;object=db", "'object' twice"),
    ],
)
def test_a_uri_that_is_none_of_a_private_key(refused, key: str, message: str):
    error = refused(message, key)
    assert (error.exit_code, error.where) == (2, "key")


def test_a_misspelt_attribute_is_told(refused):
    assert refused("unknown attribute 'objekt'", "objekt=db").hint == "did you mean 'object'?"


def test_a_key_that_is_not_there(refused):
    error = refused("no private key is what", "object=nope")
    assert error.hint
    assert "pkcs11:token=fuki%20test;object=rsa2048;id=%01" in error.hint


def test_a_token_without_keys(refused, own_hsm):
    own_hsm.add_token("bare")
    error = refused("no private key is what", "pkcs11:token=bare;object=nope")
    assert error.hint == "the token shows no private key at all"


def test_two_keys_of_one_label(refused):
    error = refused("2 keys are what", "object=twin")
    assert error.hint
    assert "object=twin;id=%07" in error.hint
    assert "object=twin;id=%08" in error.hint


def test_a_key_of_another_kind(refused):
    refused("is neither an RSA nor an elliptic curve key", "object=edwards")


def test_a_key_that_may_not_sign(refused, own_hsm):
    own_hsm.generate_for_decryption("decrypts", b"\x44")
    error = refused("may not sign", "object=decrypts")
    assert error.hint
    assert "CKA_SIGN" in error.hint


def test_a_key_that_wants_its_pin_from_the_keypad_each_time(refused, shim):
    shim.behave("keypad")
    refused("which python-pkcs11 cannot do", "object=always", module_path=shim.module, pin=None)


def test_a_public_key_that_nobody_tells(refused, shim):
    shim.behave("silent")
    error = refused("does not tell the public key of", "object=p256", module_path=shim.module)
    assert error.where == "certificate"


def test_a_certificate_of_another_key(refused, issuer, tmp_path: Path):
    (tmp_path / "other.der").write_bytes(issuer.certificate)
    error = refused("the certificate is one of another key", certificate="other.der")
    assert error.where == "certificate"


def test_a_certificate_that_is_not_there(refused):
    assert refused("nope.pem", certificate="nope.pem").where == "certificate"


def test_intermediates_without_a_certificate(refused, issuer, tmp_path: Path):
    (tmp_path / "issuer.der").write_bytes(issuer.certificate)
    error = refused("the token has no certificate of the key", intermediates=("issuer.der",))
    assert error.where == "intermediates"


def test_two_certificates_of_one_key(refused, own_hsm, issuer, tmp_path: Path):
    (tmp_path / "renewed.der").write_bytes(
        issuer.issue(load_der_public_key(own_hsm.public_key("certified")), "Renewed")
    )
    own_hsm.store_certificate(tmp_path / "renewed.der", "renewed", "0a")
    assert refused("the token has 2 certificates of the key", "object=certified").where == "certificate"
