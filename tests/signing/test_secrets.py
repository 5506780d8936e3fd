"""Passphrases and keys reach nothing that fuki says, writes or tells other programs."""

import base64
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from fuki_build.testing import secure_boot
from tests.conftest import RECIPE

PASSPHRASE = "correct-horse-battery"  # noqa: S105 - what must not be seen

SIGN = """
[[fuki.sign]]
backend = "local"
key = "secret.key"
certificate = "secret.crt"
passphrase = "{source}"
[[fuki.sign]]
backend = "command"
command = ["./witness"]
certificate = "db.crt"
[[fuki.output]]
format = "uki"
[[fuki.output]]
format = "manifest"
"""

# Signs, and notes down how every process was called, and what it was given itself.
WITNESS = """#!/bin/sh
for process in /proc/[0-9]*; do tr '\\0' ' ' <"$process/cmdline"; echo; done >>seen 2>/dev/null
env >>seen-environment
exec openssl pkeyutl -sign -inkey db.key -pkeyopt digest:sha256
"""


@pytest.fixture
def identity():
    return secure_boot.make_identity("Secret")


@pytest.fixture
def guarded(keyed: Path, identity) -> Path:
    secure_boot.write_key(keyed / "secret.key", identity.key, PASSPHRASE)
    secure_boot.write_certificates(keyed / "secret.crt", identity.certificate)
    (keyed / "passphrase").write_text(PASSPHRASE)
    (keyed / "witness").write_text(WITNESS)
    (keyed / "witness").chmod(0o755)
    return keyed


def secrets(identity: secure_boot.Identity) -> list[bytes]:
    """The passphrase, and the private numbers in the forms that they could slip out in."""
    der = identity.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    assert isinstance(identity.key, rsa.RSAPrivateKey)
    prime = identity.key.private_numbers().p

    raw = prime.to_bytes(-(-prime.bit_length() // 8))
    middle = der[len(der) // 2 :][:24]
    return [
        PASSPHRASE.encode(),
        base64.b64encode(PASSPHRASE.encode()),
        raw,
        raw.hex().encode(),
        str(prime).encode(),
        middle,
        base64.b64encode(der)[400:440],
    ]


def run(directory: Path, *arguments: str, **environment: str) -> bytes:
    """All that a command says, with everything that helps to find bugs switched on."""
    done = subprocess.run(
        [sys.executable, "-m", "fuki_build", *arguments],
        cwd=directory,
        env={**os.environ, "FUKI_DEBUG": "1", **environment},
        capture_output=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return done.stdout + done.stderr


def assert_silent(identity: secure_boot.Identity, *texts: bytes) -> None:
    for text in texts:
        for secret in secrets(identity):
            assert secret not in text


@pytest.mark.parametrize("source", ["file:passphrase", "env:SESAME", "credential:sesame"])
def test_a_whole_run_tells_no_secret(guarded, identity, source):
    (guarded / "fuki.toml").write_text(RECIPE + SIGN.format(source=source))
    (guarded / "credentials").mkdir()
    (guarded / "credentials/sesame").write_text(PASSPHRASE)

    environment = {"CREDENTIALS_DIRECTORY": str(guarded / "credentials")}
    if source.startswith("env:"):
        environment["SESAME"] = PASSPHRASE

    said = [run(guarded, *verb, **environment) for verb in (["plan"], ["build", "--json"], ["check"], ["schema"])]
    assert b'"artifacts"' in said[1]
    assert b"fuki_build build --json" in (guarded / "seen").read_bytes()
    said += [run(guarded, "verify", "acme_41.3.efi", "--json"), run(guarded, "digests", "acme_41.3.efi")]
    written = [(guarded / name).read_bytes() for name in ("acme_41.3.efi", "acme_41.3.manifest.json", "seen")]
    assert_silent(identity, *said, *written)


@pytest.mark.parametrize("damage", ["wrong passphrase", "damaged key", "certificate as key", "key in the recipe"])
def test_errors_tell_no_secret(guarded, identity, damage):
    recipe = RECIPE + SIGN.format(source="file:passphrase")
    key = identity.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    if damage == "wrong passphrase":
        (guarded / "passphrase").write_text(PASSPHRASE + "!")
    elif damage == "damaged key":
        (guarded / "secret.key").write_bytes(key[:900] + b"AAAA" + key[904:])
    elif damage == "certificate as key":
        (guarded / "secret.crt").write_bytes(key)
    else:
        recipe = recipe.replace('"secret.key"', f"'''{key.decode()}'''")

    (guarded / "fuki.toml").write_text(recipe)
    said = run(guarded, "build")
    assert b"fuki: error: " in said

    if damage != "key in the recipe":
        assert_silent(identity, said)

    assert not (guarded / "acme_41.3.efi").exists()


def test_an_environment_with_a_secret_reaches_no_program_that_needs_none(guarded):
    """A program that signs gets the environment of fuki, less the variables that recipes name for secrets."""
    (guarded / "fuki.toml").write_text(RECIPE + SIGN.format(source="env:SESAME"))
    run(guarded, "build", SESAME=PASSPHRASE)
    assert PASSPHRASE not in (guarded / "seen-environment").read_text()


def test_a_secret_that_was_not_needed_stays_out_of_programs_too(guarded, identity):
    """The key is not encrypted, so nobody asks for its passphrase."""
    secure_boot.write_key(guarded / "secret.key", identity.key)
    (guarded / "fuki.toml").write_text(RECIPE + SIGN.format(source="env:SESAME"))
    run(guarded, "build", SESAME=PASSPHRASE, TOLD="told")
    environment = (guarded / "seen-environment").read_text()
    assert "TOLD=told\n" in environment
    assert "SESAME" not in environment
