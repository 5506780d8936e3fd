"""PINs that are wrong, locked, missing or in the open each end in one error, which does not hold them."""

from hashlib import sha256
from pathlib import Path

import pytest
from fuki_build.errors import RecipeError, SigningError
from fuki_build.hooks import SigningContext

from fuki_pkcs11 import Pkcs11Signer


def test_a_wrong_pin_is_tried_once(refused, hsm, shim, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FUKI_TEST_PIN", hsm.wrong_pin)
    error = refused("cannot log in to token 'fuki test': the PIN is wrong", module_path=shim.module)
    assert error.where == "pin"
    refused("the PIN is wrong", "object=p256", module_path=shim.module)
    assert shim.count("C_Login") == 1


def test_a_session_whose_login_was_refused_ends_with_the_command(
    hsm, shim, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("FUKI_TEST_PIN", hsm.wrong_pin)
    with SigningContext(tmp_path, tmp_path) as context, pytest.raises(SigningError):
        Pkcs11Signer().open(hsm.options(module_path=shim.module), context)
    assert shim.count("C_Finalize") == 1
    monkeypatch.setenv("FUKI_TEST_PIN", hsm.pin)
    with SigningContext(tmp_path, tmp_path) as context:
        key = Pkcs11Signer().open(hsm.options(module_path=shim.module), context)
        assert key.sign(sha256(b"an image").digest(), "sha256")


def test_a_locked_pin_is_not_tried(refused, shim):
    shim.behave("locked")
    refused("the PIN of token 'fuki test' is locked", module_path=shim.module)
    assert shim.count("C_Login") == 0


def test_a_pin_with_one_try_left_is_not_put_at_risk(refused, shim):
    shim.behave("last-try")
    refused("has one try left", module_path=shim.module)
    assert shim.count("C_Login") == 0


def test_a_pin_that_turns_out_to_be_locked(refused, shim):
    shim.behave("locks")
    refused("cannot log in to token 'fuki test': the PIN is locked", module_path=shim.module)


def test_an_empty_pin(refused, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FUKI_TEST_PIN", "")
    assert refused("the PIN of token 'fuki test' is empty").where == "pin"


def test_a_pin_that_is_not_there(refused):
    assert refused("the environment has no NOT_THERE", pin="env:NOT_THERE").where == "pin"


def test_a_pin_without_a_terminal_to_ask_on(refused):
    assert refused("the PIN of token 'fuki test' is needed", pin=None).where == "pin"


def test_a_pin_that_is_not_text(refused, hsm, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FUKI_TEST_PIN", f"{hsm.wrong_pin}\udcff")  # as Python holds a byte that is not UTF-8
    assert refused("is not UTF-8 text").where == "pin"


def test_a_pin_in_the_recipe(refused, hsm):
    assert refused("not where a secret can come from", pin=hsm.pin).exit_code == 2


@pytest.mark.parametrize("uri", ["object=a?pin-value={}", "object=a;pin-value={}", "object=a?a=b&PIN-VALUE={}"])
def test_a_pin_in_the_uri(refused, hsm, uri: str):
    error = refused("the PKCS #11 URI holds a PIN", uri.format(hsm.pin))
    assert isinstance(error, RecipeError)
    assert error.where == "key"


@pytest.mark.parametrize("source", ["{}", "|cat%20/pin", "https://example.com/{}", "file:{}", "file://host/{}"])
def test_a_pin_source_that_is_no_file_is_not_repeated(refused, hsm, source: str):
    error = refused("is not the absolute path of a file", f"object=a?pin-source={source.format(hsm.pin)}", pin=None)
    assert error.exit_code == 2


def test_a_pin_source_that_is_not_there(refused):
    error = refused("cannot read the PIN of token", "object=rsa2048?pin-source=/nowhere/pin", pin=None)
    assert error.where == "key"
