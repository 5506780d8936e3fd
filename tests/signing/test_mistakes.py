"""Everything that can be wrong with keys, certificates and places ends in one error with exit code 4, and no file."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from fuki_build.testing import invoke, refused, secure_boot, succeed
from tests.conftest import RECIPE
from tests.signing.conftest import SIGN


def identity(directory: Path, kind: str = "rsa2048", valid=secure_boot.NOW_VALID) -> None:
    identity = secure_boot.make_identity("Bad", kind, valid=valid)
    secure_boot.write_key(directory / "db.key", identity.key)
    secure_boot.write_certificates(directory / "db.crt", identity.certificate)


def expired(directory: Path) -> None:
    identity(directory, valid=secure_boot.EXPIRED)


def short(directory: Path) -> None:
    identity(directory, "rsa1024")


def mixed_up(directory: Path) -> None:
    (directory / "db.crt").write_bytes((directory / "other.crt").read_bytes())


def swapped(directory: Path) -> None:
    (directory / "db.key").write_bytes((directory / "db.crt").read_bytes())


def key_for_certificate(directory: Path) -> None:
    (directory / "db.crt").write_bytes((directory / "db.key").read_bytes())


def no_key(directory: Path) -> None:
    (directory / "db.key").unlink()


def nonsense(directory: Path) -> None:
    (directory / "db.key").write_text("nonsense")


def huge(directory: Path) -> None:
    os.truncate(directory / "db.key", 1 << 30)


def a_directory(directory: Path) -> None:
    (directory / "db.key").unlink()
    (directory / "db.key").mkdir()


def a_fifo(directory: Path) -> None:
    (directory / "db.key").unlink()
    os.mkfifo(directory / "db.key")


def encrypted(directory: Path) -> None:
    identity = secure_boot.make_identity("Secret")
    secure_boot.write_key(directory / "db.key", identity.key, "sesame")
    secure_boot.write_certificates(directory / "db.crt", identity.certificate)


WRONG = {
    "the certificate has expired": (expired, "certificate", "expired on 2002-01-01"),
    "the key is short": (short, "key", "has 1024 bits"),
    "the certificate is another key's": (mixed_up, "certificate", "is not that of the key"),
    "the key file holds a certificate": (swapped, "key", "it holds a certificate"),
    "the certificate file holds a key": (key_for_certificate, "certificate", "it holds a private key"),
    "there is no key": (no_key, "key", "No such file"),
    "the key is nonsense": (nonsense, "key", "this is not a private key"),
    "the key is huge": (huge, "key", "1073741824 bytes"),
    "the key is a directory": (a_directory, "key", "it is a directory"),
    "the key is a FIFO": (a_fifo, "key", "not a regular file"),
    "nobody can be asked for the passphrase": (encrypted, "passphrase", "without a terminal"),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("verb", ["build", "sign"])
def test_a_key_that_cannot_be_used_is_one_error(keyed, name, verb):
    prepare, place, problem = WRONG[name]
    prepare(keyed)
    (keyed / "fuki.toml").write_text(RECIPE + SIGN)
    arguments = ("build",) if verb == "build" else ("sign", "stub", "-o", "out.efi", "--recipe", "fuki.toml")
    error = refused(keyed, *arguments, code=4)
    assert f"fuki.sign.{place}: " in error
    assert problem in error


def test_an_old_build_can_be_redone_with_a_certificate_that_has_expired_since(keyed, monkeypatch):
    expired(keyed)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    (keyed / "fuki.toml").write_text(RECIPE + SIGN)
    succeed(keyed, "build")


@pytest.mark.parametrize("text", ["soon", "-1e9", "9" * 30, "-5", "+5", " 5", "1_000", "\u0665"])
def test_a_source_date_that_is_no_number_is_refused(keyed, monkeypatch, text):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", text)
    (keyed / "fuki.toml").write_text(RECIPE + SIGN)
    assert "SOURCE_DATE_EPOCH" in refused(keyed, "build", code=4)


class TestPassphrases:
    @pytest.fixture
    def locked(self, keyed):
        encrypted(keyed)
        return keyed

    def recipe(self, directory: Path, source: str) -> None:
        (directory / "fuki.toml").write_text(RECIPE + SIGN + f'passphrase = "{source}"\n')

    def test_from_a_file(self, locked):
        (locked / "secret").write_text("sesame\n")
        self.recipe(locked, "file:secret")
        succeed(locked, "build")

    def test_from_the_environment(self, locked, monkeypatch):
        monkeypatch.setenv("SECRET", "sesame")
        self.recipe(locked, "env:SECRET")
        succeed(locked, "build")

    def test_from_a_credential_of_systemd(self, locked, monkeypatch):
        (locked / "credentials").mkdir()
        (locked / "credentials/db").write_text("sesame")
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(locked / "credentials"))
        self.recipe(locked, "credential:db")
        succeed(locked, "build")

    def test_from_a_prompt(self, locked):
        """On a real terminal, asked once for the image and its addon."""
        (locked / "fuki.toml").write_text(RECIPE + SIGN + '[[fuki.addon]]\nname = "a"\ncmdline = "x"\n')
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "fuki_build", "build"],
            cwd=locked,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )

        os.close(theirs)
        said = b""
        while b"passphrase of db.key: " not in said:
            said += os.read(ours, 1024)

        os.write(ours, b"sesame\n")
        while True:
            try:
                said += os.read(ours, 1024)
            except OSError:
                break

        assert process.wait() == 0, said
        assert said.count(b"passphrase") == 1
        assert b"sesame" not in said

    @pytest.mark.parametrize(
        ("source", "problem"),
        [
            ("file:nope", "cannot read the passphrase of db.key"),
            ("env:NO_SUCH_NAME", "the environment has no NO_SUCH_NAME"),
            ("credential:db", "there is no credential 'db'"),
            ("file:binary", "is not UTF-8 text"),
        ],
    )
    def test_a_source_without_a_secret_is_told(self, locked, monkeypatch, source, problem):
        monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
        (locked / "binary").write_bytes(b"\xff\xfe")
        self.recipe(locked, source)
        error = refused(locked, "build", code=4)
        assert "fuki.sign.passphrase: " in error
        assert problem in error

    def test_a_wrong_passphrase_is_told_but_not_repeated(self, locked, monkeypatch):
        monkeypatch.setenv("SECRET", "open-barley")
        self.recipe(locked, "env:SECRET")
        error = refused(locked, "build", code=4)
        assert "the passphrase is wrong" in error
        assert "open-barley" not in error

    @pytest.mark.parametrize("source", ["sesame", "pass:sesame", "file:", "prompt:sesame"])
    def test_a_passphrase_in_the_recipe_is_refused_without_repeating_it(self, locked, source):
        self.recipe(locked, source)
        error = refused(locked, "build", code=2)
        assert "a secret does not stand in a recipe" in error
        assert "sesame" not in error


class TestRecipe:
    @pytest.mark.parametrize(
        ("text", "place", "problem"),
        [
            ('[fuki.sign]\nkey = "db.key"\n', "fuki.sign", "'backend' is missing"),
            ('[fuki.sign]\nbackend = "lokal"\nkey = "k"\n', "fuki.sign.backend", "'local'"),
            ('[fuki.sign]\nbackend = "local"\n', "fuki.sign", "'key' is missing"),
            (SIGN.replace("certificate", "certifcate"), "fuki.sign.certifcate", "'certificate'"),
            (SIGN + 'digest = "md5"\n', "fuki.sign.digest", "md5"),
            (SIGN.replace("[fuki.sign]", "[[fuki.sign]]") + "sign-kernel = 1\n", "fuki.sign[0].sign-kernel", "bool"),
            ('[[fuki.output]]\nformat = "uki"\nsign = "no"\n', "fuki.output[0].sign", ""),
            ('[[fuki.output]]\nformat = "uki"\nsign = [{}]\n', "fuki.output[0].sign[0]", "'backend' is missing"),
            ('[fuki.sign]\nbackend = "command"\ncommand = ["true"]\n', "fuki.sign", "'certificate' is missing"),
        ],
    )
    def test_a_mistake_is_told_with_its_place(self, keyed, text, place, problem):
        (keyed / "fuki.toml").write_text(RECIPE + text)
        error = refused(keyed, "build")
        assert f"{place}: " in error
        assert problem in error


class TestPrograms:
    @pytest.mark.parametrize(
        ("script", "problem"),
        [
            ("echo it is locked >&2; exit 3", "failed with exit code 3: it is locked"),
            ("echo nonsense", "the signature was not made by the key of CN=Acme db"),
            ("true", "the signature was not made by the key"),
        ],
    )
    def test_a_program_that_does_not_sign_is_told(self, keyed, script, problem):
        (keyed / "remote").write_text(f"#!/bin/sh\n{script}\n")
        (keyed / "remote").chmod(0o755)
        command = '[fuki.sign]\nbackend = "command"\ncommand = ["./remote"]\ncertificate = "db.crt"\n'
        (keyed / "fuki.toml").write_text(RECIPE + command)
        assert problem in refused(keyed, "build", code=4)

    @pytest.mark.parametrize(
        ("script", "problem"),
        [
            ("sleep 600", "remote was not done after 0.5 seconds"),
            ("exec cat /dev/zero", "remote printed more than 65536 bytes"),
            ("while :; do echo no >&2; done", "remote was not done after 0.5 seconds"),
        ],
    )
    def test_a_program_that_does_not_end_is_ended(self, keyed, script, problem):
        (keyed / "remote").write_text(f"#!/bin/sh\n{script}\n")
        (keyed / "remote").chmod(0o755)
        command = '[fuki.sign]\nbackend = "command"\ncommand = ["./remote"]\ncertificate = "db.crt"\ntimeout = 0.5\n'
        (keyed / "fuki.toml").write_text(RECIPE + command)
        assert f"fuki.sign.command: {problem}" in refused(keyed, "build", code=4)

    def test_a_program_that_is_not_there_is_told(self, keyed):
        command = '[fuki.sign]\nbackend = "command"\ncommand = ["./nope"]\ncertificate = "db.crt"\n'
        (keyed / "fuki.toml").write_text(RECIPE + command)
        assert "fuki.sign.command: cannot run ./nope: No such file" in refused(keyed, "build", code=4)


class TestSign:
    SIGN = ("--key", "db.key", "--certificate", "db.crt")

    def test_an_output_that_cannot_be_written_is_told(self, keyed):
        (keyed / "plain").write_text("")
        assert "cannot write plain/out.efi" in refused(keyed, "sign", "stub", *self.SIGN, "-o", "plain/out.efi", code=4)

    def test_an_image_that_is_none_is_told(self, keyed):
        assert "not a PE image" in refused(keyed, "sign", "fuki.toml", *self.SIGN, code=1)

    def test_a_recipe_without_a_signer_is_told(self, keyed):
        assert "the recipe has no signer" in refused(keyed, "sign", "stub")

    @pytest.mark.parametrize(
        "arguments",
        [
            ["stub", "stub", "-o", "x"],
            ["stub", "-O", "nonsense"],
            ["stub", "-O", "x=[1"],
            ["stub", "--recipe", "fuki.toml", "--key", "db.key"],
            [],
        ],
    )
    def test_wrong_usage_is_refused(self, keyed, arguments):
        assert invoke(keyed, "sign", *arguments).code == 2

    def test_an_image_is_replaced_with_its_permissions(self, keyed, verifies):
        image = keyed / "image.efi"
        image.write_bytes((keyed / "stub").read_bytes())
        image.chmod(0o640)
        succeed(keyed, "sign", "image.efi", *self.SIGN)
        assert image.stat().st_mode & 0o777 == 0o640
        assert verifies("sbverify", image, keyed / "ca.crt")

    def test_options_are_strings_or_toml(self, keyed, verifies):
        succeed(
            keyed, "sign", "stub", *self.SIGN, "-O", 'intermediates=["ca.crt"]', "-O", "digest=sha256", "-o", "o.efi"
        )
        assert verifies("osslsigncode", keyed / "o.efi", keyed / "ca.crt")
