"""Modules that cannot be used, and tokens that are not there, each end in one error."""

from contextlib import chdir
from pathlib import Path

import pytest
from fuki_build.errors import RecipeError, SigningError


def test_every_refusal_by_a_token_is_a_signing_error(refused):
    error = refused("no private key", "object=nope")
    assert isinstance(error, SigningError)
    assert error.exit_code == 4


def test_no_module_is_loaded_unless_it_is_named(refused, hsm):
    error = refused("is not named", module_path=None)
    assert isinstance(error, RecipeError)
    assert error.where == "module-path"
    assert error.hint
    assert hsm.module in error.hint


@pytest.mark.parametrize("path", ["/nowhere.so", "nowhere.so", "a" * 5000, "a\0b"])
def test_a_module_that_is_not_there(refused, path: str):
    error = refused("there is no PKCS #11 module", module_path=path)
    assert error.where == "module-path"


def test_a_directory_is_no_module(refused):
    assert refused("is not named", module_path="/usr/lib").exit_code == 2


def test_a_module_that_is_not_there_by_the_uri(refused):
    error = refused("there is no PKCS #11 module", "object=a?module-path=/nowhere.so", module_path=None)
    assert error.where == "key"


def test_a_module_name_that_is_not_found(refused):
    error = refused("there is no PKCS #11 module 'nope'", "object=a?module-name=nope", module_path=None)
    assert error.where == "key"


def test_a_module_name_that_is_a_path(refused):
    assert refused("is not a name", "object=a?module-name=../a", module_path=None).exit_code == 2


def test_a_module_that_is_no_library(refused, tmp_path: Path):
    (tmp_path / "module.so").write_bytes(b"not ELF")
    error = refused("cannot be used", module_path="module.so")
    assert error.where == "module-path"


def test_a_library_that_is_no_module(refused):
    library = next(Path("/usr/lib").glob("*/libz.so.1"), None) or next(Path("/lib").glob("*/libz.so.1"))
    refused("C_GetFunctionList", module_path=str(library))


def test_a_module_that_cannot_be_initialized(refused, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "nowhere.conf"))
    error = refused("cannot be used: its device or service does not answer, or its configuration is wrong")
    assert error.hint
    assert "configuration" in error.hint


def test_a_token_that_is_not_there(refused):
    error = refused("no token is what", "pkcs11:token=nope;object=rsa2048")
    assert error.hint
    assert error.hint.startswith("there are: pkcs11:token=fuki%20test;serial=")


def test_a_module_without_tokens(refused, shim):
    shim.behave("empty")
    assert refused("no token is what", module_path=shim.module).hint == "the module has no token at all"


def test_slots_whose_tokens_were_never_initialized_are_passed_over(refused):
    # SoftHSM has such a slot behind the tokens.
    refused("no token is what", "pkcs11:token=;object=rsa2048")


def test_two_tokens_of_one_label(refused, own_hsm):
    own_hsm.add_token()
    error = refused("2 tokens are what")
    assert error.hint
    assert error.hint.count("pkcs11:token=fuki%20test;serial=") == 2


def test_a_token_without_user_pin(refused, shim):
    shim.behave("unset")
    assert refused("has no user PIN yet", module_path=shim.module).where == "key"
    assert shim.count("C_Login") == 0


def test_nothing_is_looked_for_in_the_current_directory(refused, hsm, tmp_path: Path):
    (tmp_path / "libnope.so").symlink_to(hsm.module)
    with chdir(tmp_path):
        refused("there is no PKCS #11 module 'nope'", "object=a?module-name=nope", module_path=None)
