"""Everything that can be wrong with a module, token, PIN or key ends in one error that says so, without the PIN."""

import hashlib
import shutil
import traceback
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_der_public_key
from fuki_build.errors import FukiError, RecipeError, SigningError
from fuki_build.hooks import SigningContext, SigningKey

from fuki_pkcs11 import Pkcs11Signer

DIGEST = hashlib.sha256(b"an image").digest()
WRONG = "Falsch-4711"
OpenKey = Callable[..., SigningKey]
Refused = Callable[..., FukiError]


@pytest.fixture
def refused(hsm, open_key: OpenKey) -> Refused:
    """`refused("what it says", key, option=…)` is the error of opening a key, which says nothing of PINs."""

    def refused(message: str, key: str = "object=rsa2048", **more: object) -> FukiError:
        with pytest.raises(FukiError) as caught:
            open_key(key, **more)
        error = caught.value
        assert message in error.message
        assert error.where, error
        everything = "".join(traceback.format_exception(error))
        assert hsm.pin not in everything
        assert WRONG not in everything
        return error

    return refused


def test_every_refusal_by_a_token_is_a_signing_error(refused: Refused):
    error = refused("no private key", "object=nope")
    assert isinstance(error, SigningError)
    assert error.exit_code == 4


# Modules.


def test_no_module_is_loaded_unless_it_is_named(refused: Refused, hsm):
    error = refused("is not named", module_path=None)
    assert isinstance(error, RecipeError)
    assert error.where == "module-path"
    assert error.hint
    assert hsm.module in error.hint


@pytest.mark.parametrize("path", ["/nowhere.so", "nowhere.so", "a" * 5000, "a\0b"])
def test_a_module_that_is_not_there(refused: Refused, path: str):
    error = refused("there is no PKCS #11 module", module_path=path)
    assert error.where == "module-path"


def test_a_directory_is_no_module(refused: Refused):
    assert refused("is not named", module_path="/usr/lib").exit_code == 2


def test_a_module_that_is_not_there_by_the_uri(refused: Refused):
    error = refused("there is no PKCS #11 module", "object=a?module-path=/nowhere.so", module_path=None)
    assert error.where == "key"


def test_a_module_name_that_is_not_found(refused: Refused):
    error = refused("there is no PKCS #11 module 'nope'", "object=a?module-name=nope", module_path=None)
    assert error.where == "key"


def test_a_module_name_that_is_a_path(refused: Refused):
    assert refused("is not a name", "object=a?module-name=../a", module_path=None).exit_code == 2


def test_a_module_that_is_no_library(refused: Refused, tmp_path: Path):
    (tmp_path / "module.so").write_bytes(b"not ELF")
    error = refused("cannot be used", module_path="module.so")
    assert error.where == "module-path"


def test_a_library_that_is_no_module(refused: Refused):
    library = next(Path("/usr/lib").glob("*/libz.so.1"), None) or next(Path("/lib").glob("*/libz.so.1"))
    refused("C_GetFunctionList", module_path=str(library))


def test_a_module_that_cannot_be_initialized(refused: Refused, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "nowhere.conf"))
    error = refused("cannot be used: its device or service does not answer, or its configuration is wrong")
    assert error.hint
    assert "configuration" in error.hint


# Tokens.


def test_a_token_that_is_not_there(refused: Refused):
    error = refused("no token is what", "pkcs11:token=nope;object=rsa2048")
    assert error.hint
    assert error.hint.startswith("there are: pkcs11:token=fuki%20test;serial=")


def test_a_module_without_tokens(refused: Refused, shim):
    shim.behave("empty")
    assert refused("no token is what", module_path=shim.module).hint == "the module has no token at all"


def test_slots_whose_tokens_were_never_initialized_are_passed_over(refused: Refused):
    # SoftHSM has such a slot behind the tokens.
    refused("no token is what", "pkcs11:token=;object=rsa2048")


def test_two_tokens_of_one_label(refused: Refused, own_hsm):
    own_hsm.add_token()
    error = refused("2 tokens are what")
    assert error.hint
    assert error.hint.count("pkcs11:token=fuki%20test;serial=") == 2


def test_a_token_without_user_pin(refused: Refused, shim):
    shim.behave("unset")
    assert refused("has no user PIN yet", module_path=shim.module).where == "key"
    assert shim.count("C_Login") == 0


# PINs.


def test_a_wrong_pin_is_tried_once(refused: Refused, shim, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FUKI_TEST_PIN", WRONG)
    error = refused("cannot log in to token 'fuki test': the PIN is wrong", module_path=shim.module)
    assert error.where == "pin"
    refused("the PIN is wrong", "object=p256", module_path=shim.module)
    assert shim.count("C_Login") == 1


def test_a_session_whose_login_was_refused_ends_with_the_command(
    hsm, shim, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("FUKI_TEST_PIN", WRONG)
    with SigningContext(tmp_path, tmp_path) as context, pytest.raises(SigningError):
        Pkcs11Signer().open(hsm.options(module_path=shim.module), context)
    assert shim.count("C_Finalize") == 1
    monkeypatch.setenv("FUKI_TEST_PIN", hsm.pin)
    with SigningContext(tmp_path, tmp_path) as context:
        assert Pkcs11Signer().open(hsm.options(module_path=shim.module), context).sign(DIGEST, "sha256")


def test_a_locked_pin_is_not_tried(refused: Refused, shim):
    shim.behave("locked")
    refused("the PIN of token 'fuki test' is locked", module_path=shim.module)
    assert shim.count("C_Login") == 0


def test_a_pin_with_one_try_left_is_not_put_at_risk(refused: Refused, shim):
    shim.behave("last-try")
    refused("has one try left", module_path=shim.module)
    assert shim.count("C_Login") == 0


def test_a_pin_that_turns_out_to_be_locked(refused: Refused, shim):
    shim.behave("locks")
    refused("cannot log in to token 'fuki test': the PIN is locked", module_path=shim.module)


def test_an_empty_pin(refused: Refused, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FUKI_TEST_PIN", "")
    assert refused("the PIN of token 'fuki test' is empty").where == "pin"


def test_a_pin_that_is_not_there(refused: Refused):
    assert refused("the environment has no NOT_THERE", pin="env:NOT_THERE").where == "pin"


def test_a_pin_without_a_terminal_to_ask_on(refused: Refused):
    assert refused("the PIN of token 'fuki test' is needed", pin=None).where == "pin"


def test_a_pin_that_is_not_text(refused: Refused, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FUKI_TEST_PIN", f"{WRONG}\udcff")  # as Python holds a byte that is not UTF-8
    assert refused("is not UTF-8 text").where == "pin"


def test_a_pin_in_the_recipe(refused: Refused, hsm):
    assert refused("not where a secret can come from", pin=hsm.pin).exit_code == 2


@pytest.mark.parametrize("uri", ["object=a?pin-value={}", "object=a;pin-value={}", "object=a?a=b&PIN-VALUE={}"])
def test_a_pin_in_the_uri(refused: Refused, hsm, uri: str):
    error = refused("the PKCS #11 URI holds a PIN", uri.format(hsm.pin))
    assert isinstance(error, RecipeError)
    assert error.where == "key"


@pytest.mark.parametrize("source", ["{}", "|cat%20/pin", "https://example.com/{}", "file:{}", "file://host/{}"])
def test_a_pin_source_that_is_no_file_is_not_repeated(refused: Refused, hsm, source: str):
    error = refused("is not the absolute path of a file", f"object=a?pin-source={source.format(hsm.pin)}", pin=None)
    assert error.exit_code == 2


def test_a_pin_source_that_is_not_there(refused: Refused):
    error = refused("cannot read the PIN of token", "object=rsa2048?pin-source=/nowhere/pin", pin=None)
    assert error.where == "key"


# Keys.


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
def test_a_uri_that_is_none_of_a_private_key(refused: Refused, key: str, message: str):
    error = refused(message, key)
    assert (error.exit_code, error.where) == (2, "key")


def test_a_misspelt_attribute_is_told(refused: Refused):
    assert refused("unknown attribute 'objekt'", "objekt=db").hint == "did you mean 'object'?"


def test_a_key_that_is_not_there(refused: Refused):
    error = refused("no private key is what", "object=nope")
    assert error.hint
    assert "pkcs11:token=fuki%20test;object=rsa2048;id=%01" in error.hint


def test_a_token_without_keys(refused: Refused, own_hsm):
    own_hsm.add_token("bare")
    error = refused("no private key is what", "pkcs11:token=bare;object=nope")
    assert error.hint == "the token shows no private key at all"


def test_two_keys_of_one_label(refused: Refused):
    error = refused("2 keys are what", "object=twin")
    assert error.hint
    assert "object=twin;id=%07" in error.hint
    assert "object=twin;id=%08" in error.hint


def test_a_key_of_another_kind(refused: Refused):
    refused("is neither an RSA nor an elliptic curve key", "object=edwards")


def test_a_key_that_may_not_sign(refused: Refused, own_hsm):
    own_hsm.generate_for_decryption("decrypts", b"\x44")
    error = refused("may not sign", "object=decrypts")
    assert error.hint
    assert "CKA_SIGN" in error.hint


def test_a_key_that_wants_its_pin_from_the_keypad_each_time(refused: Refused, shim):
    shim.behave("keypad")
    refused("which python-pkcs11 cannot do", "object=always", module_path=shim.module, pin=None)


def test_a_public_key_that_nobody_tells(refused: Refused, shim):
    shim.behave("silent")
    error = refused("does not tell the public key of", "object=p256", module_path=shim.module)
    assert error.where == "certificate"


def test_a_certificate_of_another_key(refused: Refused, issuer, tmp_path: Path):
    (tmp_path / "other.der").write_bytes(issuer.certificate)
    error = refused("the certificate is one of another key", certificate="other.der")
    assert error.where == "certificate"


def test_a_certificate_that_is_not_there(refused: Refused):
    assert refused("nope.pem", certificate="nope.pem").where == "certificate"


def test_intermediates_without_a_certificate(refused: Refused, issuer, tmp_path: Path):
    (tmp_path / "issuer.der").write_bytes(issuer.certificate)
    error = refused("the token has no certificate of the key", intermediates=("issuer.der",))
    assert error.where == "intermediates"


def test_two_certificates_of_one_key(refused: Refused, own_hsm, issuer, tmp_path: Path):
    (tmp_path / "renewed.der").write_bytes(
        issuer.issue(load_der_public_key(own_hsm.public_key("certified")), "Renewed")
    )
    own_hsm.store_certificate(tmp_path / "renewed.der", "renewed", "0a")
    assert refused("the token has 2 certificates of the key", "object=certified").where == "certificate"


# Signing.


def sign_refused(key: SigningKey, algorithm: str = "sha256") -> str:
    with pytest.raises(SigningError) as caught:
        key.sign(DIGEST, algorithm)
    return caught.value.message


def test_a_token_that_is_removed_after_the_login(own_hsm, open_key: OpenKey):
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


def test_a_token_that_does_not_sign_digests(open_key: OpenKey, shim):
    shim.behave("hashing")
    assert sign_refused(open_key(module_path=shim.module)).endswith("the token does not have this mechanism")


@pytest.mark.parametrize("name", ["rsa2048", "p256"])
def test_a_signature_that_is_none(open_key: OpenKey, shim, name: str):
    shim.behave("faulty")
    assert "is not one of its public key" in sign_refused(open_key(f"object={name}", module_path=shim.module))


def test_a_digest_of_an_unknown_algorithm(open_key: OpenKey):
    assert "not of sha1" in sign_refused(open_key(), "sha1")


def test_nothing_is_looked_for_in_the_current_directory(refused: Refused, hsm, tmp_path: Path):
    (tmp_path / "libnope.so").symlink_to(hsm.module)
    with chdir(tmp_path):
        refused("there is no PKCS #11 module 'nope'", "object=a?module-name=nope", module_path=None)
