"""Passphrases and PINs: where they come from, and where they never go."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from fuki_build.errors import FukiError, RecipeError, SigningError
from signing_programs import (
    NSS_PASSWORD,
    PASSPHRASE,
    PIN,
    SOFTHSM,
    URI,
    install_with_provider,
    run,
    script,
)

Sign = Callable[..., None]
FILE = {"key": "encrypted.key", "certificate": "db.crt"}
TOKEN = {"key": URI, "certificate": "db.crt", "module": SOFTHSM}

FILES = [("sbsign", FILE), ("systemd-sbsign", FILE), ("osslsigncode", FILE), ("osslsigncode", {"pkcs12": "db.p12"})]
TOKENS = [
    ("sbsign", {**TOKEN, "engine": "pkcs11"}),
    ("systemd-sbsign", {**TOKEN, "key_source": "engine:pkcs11"}),
    ("osslsigncode", TOKEN),
]
UNLOCKED = [
    *((program, {**options, "passphrase": "file:passphrase"}, PASSPHRASE) for program, options in FILES),
    *((program, {**options, "pin": "file:pin"}, PIN) for program, options in TOKENS),
    ("pesign", {"nickname": "db", "directory": "nss", "pin": "file:nss-password"}, NSS_PASSWORD),
]
each_unlocked = pytest.mark.parametrize(
    ("program", "options", "secret"),
    # A test's name is in its environment; no secret may be in the name.
    [pytest.param(*case, id=f"{case[0]}-{' '.join(case[1])}") for case in UNLOCKED],
)
pytestmark = pytest.mark.usefixtures("softhsm")


def refused(image: Path, sign: Sign, backend: str, /, **options: str) -> FukiError:
    """The error of a signing that must fail, with the image as it was."""
    before = image.read_bytes()
    with pytest.raises(FukiError) as caught:
        sign(image, backend, **options)
    assert image.read_bytes() == before
    return caught.value


@each_unlocked
def test_what_is_unlocked_signs(program: str, options: dict[str, str], secret: str, sign: Sign, stub: Path, keys: Path):
    sign(stub, program, **options)
    run("sbverify", "--cert", keys / "ca.crt", stub)
    assert secret.encode() not in stub.read_bytes()


@each_unlocked
def test_the_secret_is_in_no_argument_environment_or_file(
    program: str,
    options: dict[str, str],
    secret: str,
    sign: Sign,
    stub: Path,
    tmp_path: Path,
    programs: Path,  # noqa: ARG001 - for PATH
):
    seen = tmp_path / "seen"
    real = shutil.which(program)
    look = f'{{ printf "%s\\n" "$@"; env; find {tmp_path}/workspace -type f -exec cat {{}} +; }} >{seen}'
    spy = script(tmp_path / "spy", f'{look}\nexec {real} "$@"')
    sign(stub, program, **options, program=str(spy))
    text = seen.read_text()
    assert str(stub) in text
    assert "LC_ALL=" in text
    assert secret not in text


def test_a_secret_from_the_environment_does_not_reach_the_program_there(
    sign: Sign, stub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SESAME", PASSPHRASE)
    seen = tmp_path / "seen"
    spy = script(tmp_path / "spy", f'env >{seen}\nexec {shutil.which("sbsign")} "$@"')
    sign(stub, "sbsign", **FILE, passphrase="env:SESAME", program=str(spy))  # noqa: S106 - where it is
    assert "LC_ALL=" in seen.read_text()
    assert PASSPHRASE not in seen.read_text()


@each_unlocked
def test_a_wrong_secret_is_told_without_telling_it(
    program: str, options: dict[str, str], secret: str, sign: Sign, stub: Path
):
    key = "pin" if "pin" in options else "passphrase"
    error = refused(stub, sign, program, **{**options, key: "file:wrong"})
    assert isinstance(error, SigningError)
    assert error.exit_code == 4
    assert re.fullmatch(rf"{program} failed with exit code \d+: .+", error.message)
    assert re.fullmatch(r"(is the (passphrase|PIN)|are password and nickname) right.+", error.hint or "")
    assert "86420" not in str(error)
    assert secret not in str(error)


@pytest.mark.parametrize(("program", "options"), FILES)
def test_an_encrypted_key_asks_for_a_passphrase(program: str, options: dict[str, str], sign: Sign, stub: Path):
    error = refused(stub, sign, program, **options)
    assert isinstance(error, SigningError)
    assert re.fullmatch(r"the passphrase of (encrypted\.key|db\.p12) is needed", error.message)
    assert error.where == "passphrase"


@pytest.mark.parametrize(("program", "options"), TOKENS)
def test_a_token_whose_pin_has_no_source_fails_instead_of_waiting(
    program: str, options: dict[str, str], sign: Sign, stub: Path
):
    error = refused(stub, sign, program, **options)
    assert isinstance(error, SigningError)
    assert error.hint == "if the token asks for a PIN, name its source with 'pin'"


def test_an_nss_database_whose_password_has_no_source_fails_instead_of_waiting(sign: Sign, stub: Path):
    error = refused(stub, sign, "pesign", nickname="db", directory="nss")
    assert "authentication failed" in error.message
    assert error.hint == "if the database or token has a password, name its source with 'pin'"


@pytest.mark.parametrize(("program", "options"), TOKENS)
def test_an_absent_token_is_told(program: str, options: dict[str, str], sign: Sign, stub: Path):
    error = refused(stub, sign, program, **{**options, "key": "pkcs11:token=other;object=db", "pin": "file:pin"})
    assert isinstance(error, SigningError)
    assert "pkcs11:token=other;object=db" in error.message


@pytest.mark.parametrize("secret", ["file:pin", "file:wrong", None])
def test_systemd_sbsign_signs_through_a_provider(
    secret: str | None, sign: Sign, stub: Path, keys: Path, tmp_path: Path
):
    options = {**TOKEN, "key_source": "provider:pkcs11", "program": str(install_with_provider(tmp_path))}
    if secret == "file:pin":  # noqa: S105 - where it is read
        sign(stub, "systemd-sbsign", **options, pin=secret)
        run("sbverify", "--cert", keys / "db.crt", stub)
    else:
        more = {} if secret is None else {"pin": secret}
        error = refused(stub, sign, "systemd-sbsign", **options, **more)
        assert "Failed to load private key" in error.message


def test_pesign_signs_with_a_token_that_the_database_knows(sign: Sign, stub: Path, keys: Path, tmp_path: Path):
    nss = tmp_path / "nss"
    nss.mkdir()
    run("certutil", "-N", "-d", f"sql:{nss}", "--empty-password")
    run("modutil", "-force", "-dbdir", f"sql:{nss}", "-add", "SoftHSM", "-libfile", SOFTHSM)
    pk12util = ("pk12util", "-i", keys / "db.p12", "-d", f"sql:{nss}", "-h", "fuki")
    run(*pk12util, "-k", keys / "pin", "-w", keys / "passphrase")
    sign(stub, "pesign", nickname="db", directory=str(nss), token="fuki", pin="file:pin")  # noqa: S106 - its label
    run("sbverify", "--cert", keys / "ca.crt", stub)


@pytest.mark.parametrize(("program", "options"), TOKENS)
def test_a_pin_in_the_key_s_uri_is_refused(program: str, options: dict[str, str], sign: Sign, stub: Path):
    error = refused(stub, sign, program, **{**options, "key": f"{URI}?pin-value={PIN}"})
    assert isinstance(error, RecipeError)
    assert error.where == "key"
    assert PIN not in str(error)


@pytest.mark.parametrize(("program", "options"), TOKENS)
def test_a_passphrase_for_a_token_is_refused(program: str, options: dict[str, str], sign: Sign, stub: Path):
    error = refused(stub, sign, program, **options, passphrase="file:pin")  # noqa: S106 - where it is read
    assert isinstance(error, RecipeError)
    assert (error.where, error.hint) == ("passphrase", "name the source of its PIN with 'pin'")


@pytest.mark.parametrize(("program", "options"), FILES)
def test_a_pin_for_a_file_is_refused(program: str, options: dict[str, str], sign: Sign, stub: Path):
    error = refused(stub, sign, program, **options, pin="file:pin")
    assert isinstance(error, RecipeError)
    assert (error.where, error.hint) == ("pin", "name the source of its passphrase with 'passphrase'")


@pytest.mark.parametrize("program", ["sbsign", "systemd-sbsign"])
@pytest.mark.parametrize("secret", ["", f"?pin-value={PIN}"])
def test_a_token_without_an_engine_or_provider_is_refused(program: str, secret: str, sign: Sign, stub: Path):
    error = refused(stub, sign, program, key=f"{URI}{secret}", certificate="db.crt")
    assert isinstance(error, RecipeError)
    assert error.where == "key"
    assert PIN not in str(error)


def test_a_pin_in_the_certificate_s_uri_is_refused(sign: Sign, stub: Path):
    sources = {"key_source": "provider:pkcs11", "certificate_source": "provider:pkcs11"}
    uri = f"pkcs11:token=fuki;type=cert?pin-value={PIN}"
    error = refused(stub, sign, "systemd-sbsign", key=URI, certificate=uri, **sources)
    assert (error.where, error.message) == ("certificate", "a PIN does not stand in a recipe")


@pytest.mark.parametrize(("program", "options"), FILES[:3])
def test_a_module_for_a_file_is_refused(program: str, options: dict[str, str], sign: Sign, stub: Path):
    assert refused(stub, sign, program, **options, module=SOFTHSM).where == "module"
