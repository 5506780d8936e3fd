"""`--output -` of every verb that writes one file: the same bytes as in a file, and nothing else on standard output."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fuki_build.testing import invoke, succeed
from fuki_build.testing.secure_boot import make_identity, write_certificates, write_key

SIGNER = ("--key", "db.key", "--certificate", "db.crt")

VERBS = {
    "build": ("build",),
    "build of one format": ("build", "--only", "manifest"),
    "edit": ("edit", "image.efi", "--set", ".cmdline=quiet"),
    "sign": ("sign", "stub.efi", *SIGNER),
    "inspect": ("inspect", "image.efi", "--extract", ".linux"),
    "keys update": ("keys", "update", "db", "db.crt", *SIGNER),
    "report": ("report", "image.efi"),
    "firmware wrap": ("firmware", "wrap", "OVMF.fd"),
}


@pytest.fixture
def directory(workshop: Path, part) -> Path:
    """The workshop, with a built image, a stub and firmware to work on, and a key with its certificate."""
    identity = make_identity("Acme db")
    write_key(workshop / "db.key", identity.key)
    write_certificates(workshop / "db.crt", identity.certificate)
    shutil.copyfile(workshop / "stub", workshop / "stub.efi")
    shutil.copyfile(part("ovmf-generic"), workshop / "OVMF.fd")
    succeed(workshop, "build", "-o", "image.efi")
    return workshop


def printed(directory: Path, *arguments: str) -> bytes:
    command = [sys.executable, "-m", "fuki_build", *arguments, "-o", "-"]
    done = subprocess.run(command, cwd=directory, capture_output=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    assert b"wrote" not in done.stderr
    return done.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_standard_output_gets_what_a_file_gets(directory, verb, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1764300000")  # the time of a variable's new value
    succeed(directory, *VERBS[verb], "-o", "file")
    before = {path: path.stat().st_mtime_ns for path in directory.rglob("*")}
    assert printed(directory, *VERBS[verb]) == (directory / "file").read_bytes()
    assert {path: path.stat().st_mtime_ns for path in directory.rglob("*")} == before


def test_several_files_do_not_go_to_standard_output(directory):
    with (directory / "fuki.toml").open("a") as recipe:
        recipe.write('\n[[fuki.output]]\nformat = "uki"\n[[fuki.output]]\nformat = "manifest"\n')
    outcome = invoke(directory, "build", "-o", "-")
    assert outcome.code == 2
    assert not outcome.out
    assert "choose one with --only: there are uki, manifest" in outcome.err
    assert printed(directory, "build", "--only", "uki") == (directory / "image.efi").read_bytes()


@pytest.mark.parametrize("verb", [("build",), ("firmware", "wrap", "OVMF.fd")])
def test_json_and_the_file_do_not_share_standard_output(directory, verb):
    outcome = invoke(directory, *verb, "-o", "-", "--json")
    assert outcome.code == 2
    assert not outcome.out
