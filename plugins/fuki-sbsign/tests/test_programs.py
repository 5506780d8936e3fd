"""How programs are found and run, and what becomes of their complaints."""

import doctest
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fuki_build.errors import FukiError, RecipeError, SigningError
from fuki_build.hooks import SigningContext
from fuki_build.testing.timestamp_authority import timestamp_authority
from signing_programs import URI, run, script

from fuki_sbsign import Osslsigncode, Pesign, Sbsign, SystemdSbsign, fuki_signers

Sign = Callable[..., None]
KEY = {"key": "db.key", "certificate": "db.crt"}
PACKAGES = {
    Sbsign: ("sbsigntool", "sbsigntools"),
    SystemdSbsign: ("systemd-repart", "systemd"),
    Osslsigncode: ("osslsigncode",),
    Pesign: ("pesign", "AUR"),
}


def refused(image: Path, sign: Sign, backend: str, /, **options: Any) -> FukiError:  # noqa: ANN401 - any program's
    before = image.read_bytes()
    with pytest.raises(FukiError) as caught:
        sign(image, backend, **options)
    assert image.read_bytes() == before
    return caught.value


def test_the_plugin_gives_four_backends():
    assert sorted(kind.name for kind in fuki_signers()) == ["osslsigncode", "pesign", "sbsign", "systemd-sbsign"]


@pytest.mark.parametrize("kind", PACKAGES, ids=lambda kind: kind.name)
def test_the_example_of_a_backend_holds(kind: type):
    module = sys.modules[kind.__module__]
    assert doctest.testmod(module).attempted
    assert not doctest.testmod(module).failed


@pytest.mark.parametrize("kind", PACKAGES, ids=lambda kind: kind.name)
def test_a_program_that_is_not_installed_is_told_with_its_packages(
    kind: Any,  # noqa: ANN401 - a signer
    stub: Path,
    keys: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(SystemdSbsign, "directories", ())
    options = kind.Options(nickname="db") if kind is Pesign else kind.Options(**KEY)
    with SigningContext(keys, tmp_path) as context, pytest.raises(SigningError) as caught:
        kind().sign_file(stub, options, context)
    assert caught.value.message == f"the program {kind.name} is not installed"
    assert all(package in (caught.value.hint or "") for package in (*PACKAGES[kind], "Debian", "Fedora", "Arch"))


def test_systemd_sbsign_is_found_outside_path(
    stub: Path, keys: Path, tmp_path: Path, programs: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(SystemdSbsign, "directories", (str(programs),))
    monkeypatch.setenv("PATH", "/usr/bin")
    with SigningContext(keys, tmp_path) as context:
        SystemdSbsign().sign_file(stub, SystemdSbsign.Options(**KEY), context)
    run("sbverify", "--cert", keys / "db.crt", stub)


@pytest.mark.parametrize("program", ["./missing", "missing", "/dev/null"])
def test_a_program_s_path_that_leads_nowhere_is_told(program: str, sign: Sign, stub: Path):
    error = refused(stub, sign, "sbsign", **KEY, program=program)
    assert error.where == "program"
    assert error.message.startswith("there is no program ")


def test_a_program_that_cannot_be_run_is_told(sign: Sign, stub: Path, tmp_path: Path):
    program = tmp_path / "program"
    program.write_text("neither a script nor a binary")
    program.chmod(0o700)
    error = refused(stub, sign, "sbsign", **KEY, program=str(program))
    assert error.message == f"cannot run {program}: Exec format error"


def test_a_program_that_writes_nothing_is_told(sign: Sign, stub: Path, tmp_path: Path):
    error = refused(stub, sign, "sbsign", **KEY, program=str(script(tmp_path / "idle", "exit 0")))
    assert error.message == "sbsign has written nothing, and says that all went well"


def test_a_program_finds_its_standard_input_at_an_end_and_no_terminal(sign: Sign, stub: Path, tmp_path: Path):
    program = script(tmp_path / "asks", 'cat; read answer </dev/tty || echo "nobody to ask" >&2; exit 3')
    error = refused(stub, sign, "sbsign", **KEY, program=str(program))
    assert error.message.startswith("asks failed with exit code 3: ")
    assert error.message.endswith("nobody to ask")


def test_a_program_s_last_lines_are_told_as_plain_text(sign: Sign, stub: Path, tmp_path: Path):
    text = r"first\n\033[31msecond\033[0m\n\n\nthird\a\tline\nfo\377urth\n"
    program = script(tmp_path / "loud", f"printf '{text}' >&2; exit 1")
    error = refused(stub, sign, "sbsign", **KEY, program=str(program))
    assert error.message == "loud failed with exit code 1: second / third line / fo\ufffdurth"


def test_a_secret_that_a_program_repeats_is_not_told(sign: Sign, stub: Path, tmp_path: Path):
    program = script(tmp_path / "leaks", 'read secret; echo "got <$secret>" >&2; exit 1')
    options = {"key": "encrypted.key", "certificate": "db.crt", "passphrase": "file:passphrase"}
    error = refused(stub, sign, "sbsign", **options, program=str(program))
    assert error.message == "leaks failed with exit code 1: got <***>"


def test_a_program_that_is_killed_is_told(sign: Sign, stub: Path, tmp_path: Path):
    error = refused(stub, sign, "sbsign", **KEY, program=str(script(tmp_path / "dies", "kill -KILL $$")))
    assert error.message == "dies was ended by signal 9: it said nothing"


@pytest.mark.parametrize("program", ["sbsign", "osslsigncode"])
def test_a_certificate_of_another_key_is_told(program: str, sign: Sign, stub: Path):
    error = refused(stub, sign, program, key="db.key", certificate="ca.crt")
    assert isinstance(error, SigningError)
    assert "certificate" in error.message


@pytest.mark.parametrize("program", ["sbsign", "systemd-sbsign", "osslsigncode"])
@pytest.mark.parametrize(("option", "path"), [("key", "missing.key"), ("certificate", "missing.crt")])
def test_a_missing_file_is_told_at_its_option(program: str, option: str, path: str, sign: Sign, stub: Path):
    error = refused(stub, sign, program, **{**KEY, option: path})
    assert isinstance(error, SigningError)
    assert error.where == option
    assert path in error.message


@pytest.mark.parametrize("program", ["sbsign", "systemd-sbsign", "osslsigncode", "pesign"])
def test_what_is_no_image_is_told(program: str, sign: Sign, stub: Path):
    stub.write_bytes(b"MZ" + bytes(100))
    options = {"nickname": "db", "directory": "nss", "pin": "file:nss-password"} if program == "pesign" else KEY
    assert isinstance(refused(stub, sign, program, **options), SigningError)


def test_an_image_in_a_directory_that_is_not_there_is_told(stub: Path, keys: Path, tmp_path: Path):
    path = stub.parent / "no" / "image.efi"
    with SigningContext(keys, tmp_path) as context, pytest.raises(SigningError, match=r"cannot sign .*: No such file"):
        Sbsign().sign_file(path, Sbsign.Options(**KEY), context)


def test_systemd_sbsign_says_that_it_takes_one_certificate_only(sign: Sign, stub: Path):
    error = refused(stub, sign, "systemd-sbsign", key="db.key", certificate="chain.crt")
    assert isinstance(error, RecipeError)
    assert error.where == "certificate"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "'key' is missing"),
        ({"key": "db.key"}, "'certificate' is missing"),
        ({"pkcs12": "db.p12", "key": "db.key"}, "the PKCS #12 file has a key and a certificate"),
        ({"key": URI, "certificate": "db.crt"}, "'module' is missing for a key in a token"),
    ],
)
def test_osslsigncode_s_options_must_fit_together(options: dict[str, str], message: str, sign: Sign, stub: Path):
    error = refused(stub, sign, "osslsigncode", **options)
    assert isinstance(error, RecipeError)
    assert error.message == message


def test_osslsigncode_loads_the_engine_that_is_named(sign: Sign, stub: Path, softhsm: str):
    options = {"key": URI, "certificate": "db.crt", "module": softhsm, "pin": "file:pin"}
    error = refused(stub, sign, "osslsigncode", **options, engine="./missing.so")
    assert "Failed to set 'dynamic' engine" in error.message


def test_osslsigncode_takes_the_certificate_from_the_token(
    sign: Sign, stub: Path, keys: Path, tmp_path: Path, softhsm: str
):
    nss = tmp_path / "nss"
    nss.mkdir()
    run("certutil", "-N", "-d", f"sql:{nss}", "--empty-password")
    run("modutil", "-force", "-dbdir", f"sql:{nss}", "-add", "SoftHSM", "-libfile", softhsm)
    add = ("certutil", "-A", "-d", f"sql:{nss}", "-h", "fuki", "-f", keys / "pin", "-t", ",,")
    run(*add, "-n", "certificate", "-i", keys / "db.crt")
    certificate = "pkcs11:token=fuki;object=certificate;type=cert"
    sign(stub, "osslsigncode", key=URI, certificate=certificate, module=softhsm, pin="file:pin")
    run("sbverify", "--cert", keys / "db.crt", stub)


def test_osslsigncode_gets_a_timestamp(sign: Sign, stub: Path, keys: Path, tmp_path: Path):
    with timestamp_authority(tmp_path) as url:
        sign(stub, "osslsigncode", **KEY, timestamp=(url,))
    verify = ("osslsigncode", "verify", "-CAfile", keys / "ca.crt", "-TSA-CAfile", tmp_path / "tsa.crt", stub)
    told = run(*verify)
    assert "Subject: /CN=Acme TSA" in told
    assert "Timestamp Server Signature verification: ok" in told


def test_a_timestamp_that_nobody_gives_is_told(sign: Sign, stub: Path):
    # Port 9 is for a service that answers nothing; nobody listens.
    error = refused(stub, sign, "osslsigncode", **KEY, timestamp=("http://127.0.0.1:9/",))
    assert isinstance(error, SigningError)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("sleep 600", "slow was not done after 0.5 seconds"),
        ("while :; do echo no >&2; done", "slow was not done after 0.5 seconds"),
        ("exec cat /dev/zero", "slow printed more than 1048576 bytes"),
        ("setsid sleep 600 & exit 3", "slow failed with exit code 3: it said nothing"),
    ],
)
@pytest.mark.parametrize("name", ["sbsign", "osslsigncode"])
def test_a_program_that_does_not_end_is_ended(
    name: str, script: str, message: str, sign: Sign, stub: Path, tmp_path: Path
):
    (tmp_path / "slow").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "slow").chmod(0o755)
    timeout = 0.5 if "after" in message else 60
    error = refused(stub, sign, name, **KEY, program=str(tmp_path / "slow"), timeout=timeout)
    assert message in error.message


def test_a_program_that_writes_without_end_fills_no_disk(
    sign: Sign, stub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("fuki_sbsign.program._LARGEST_SIGNATURES", 1_000_000)
    (tmp_path / "endless").write_text(f"#!/bin/sh\nexec dd if=/dev/zero of={tmp_path}/beside status=none\n")
    (tmp_path / "endless").chmod(0o755)
    error = refused(stub, sign, "sbsign", **KEY, program=str(tmp_path / "endless"))
    assert "endless was ended by signal 25" in error.message
