"""What can go wrong while a token signs ends in one error."""

import hashlib
import shutil
from pathlib import Path

import pytest
from fuki_build.errors import SigningError
from fuki_build.hooks import SigningContext, SigningKey

from fuki_pkcs11 import Pkcs11Signer

DIGEST = hashlib.sha256(b"an image").digest()


def sign_refused(key: SigningKey, algorithm: str = "sha256") -> str:
    with pytest.raises(SigningError) as caught:
        key.sign(DIGEST, algorithm)
    return caught.value.message


def test_a_token_that_is_removed_after_the_login(own_hsm, open_key):
    key = open_key()
    shutil.rmtree(own_hsm.directory / "tokens")
    assert sign_refused(key).endswith("did not sign: the token was removed, or has ended the session")


def test_a_device_that_is_removed_while_it_signs(shim, tmp_path: Path, hsm):
    with SigningContext(tmp_path, tmp_path) as context:
        key = Pkcs11Signer().open(hsm.options(module_path=shim.module), context)
        shim.behave("gone")
        assert "the token was removed" in sign_refused(key)
    assert shim.count("C_Finalize") == 1


def test_a_key_that_is_used_after_its_command(hsm, tmp_path: Path):
    with SigningContext(tmp_path, tmp_path) as context:
        key = Pkcs11Signer().open(hsm.options(), context)
    assert "did not sign" in sign_refused(key)


def test_a_token_that_does_not_sign_digests(open_key, shim):
    shim.behave("hashing")
    assert sign_refused(open_key(module_path=shim.module)).endswith("the token does not have this mechanism")


@pytest.mark.parametrize("name", ["rsa2048", "p256"])
def test_a_signature_that_is_none(open_key, shim, name: str):
    shim.behave("faulty")
    assert "is not one of its public key" in sign_refused(open_key(f"object={name}", module_path=shim.module))


def test_a_digest_of_an_unknown_algorithm(open_key):
    assert "not of sha1" in sign_refused(open_key(), "sha1")
