"""Plan and check refuse what a build refuses, in the same words, and tell who signs and what goes where."""

import json
import subprocess
from pathlib import Path

import pytest

from fuki_build.testing import invoke, succeed
from fuki_build.testing.secure_boot import make_identity, write_certificates, write_key, write_pkcs12

SIGN = '[fuki.sign]\nbackend = "local"\nkey = "db.key"\ncertificate = "db.crt"\n'


@pytest.fixture
def directory(workshop: Path) -> Path:
    """The workshop, with a key and its certificate, another certificate, and one that has expired."""
    write_key(workshop / "db.key", (identity := make_identity("Acme db")).key)
    write_certificates(workshop / "db.crt", identity.certificate)
    write_certificates(workshop / "other.crt", make_identity("Other").certificate)
    (workshop / "broken.j2").write_text("{% for %}")
    (workshop / "folder.efi").mkdir()
    return workshop


def output(text: str) -> str:
    return f"[[fuki.output]]\n{text}\n"


UKI = output('format = "uki"')

MISTAKES = {
    "a key of the table": (output('fromat = "uki"'), "fuki.output[0].fromat", "unknown key", "did you mean 'format'?"),
    "a format": (output('format = "ukii"'), "fuki.output[0].format", "'ukii'", "did you mean 'uki'?"),
    "a second format": (UKI + output('format = "manifst"'), "fuki.output[1].format", "'manifst'", "'manifest'?"),
    "an option": (output('format = "predictions"\nbnks = ["sha1"]'), "fuki.output[0].bnks", "unknown key", "'banks'?"),
    "an option's type": (output('format = "predictions"\npcrs = "11"'), "fuki.output[0].pcrs", "expected", "schema"),
    "a bank": (output('format = "predictions"\nbanks = ["md5"]'), "fuki.output[0].banks", "'md5'", "there are: sha1"),
    "a bank's spelling": (
        output('format = "pcrlock"\nbanks = ["sha-256"]'),
        "fuki.output[0].banks",
        "'sha-256'",
        "did you mean 'sha256'?",
    ),
    "two banks": (
        output('format = "keylime"\nbanks = ["sha1", "sha256"]'),
        "fuki.output[0].banks",
        "one bank",
        "sha256",
    ),
    "a phase": (output('format = "predictions"\nphases = [":"]'), "fuki.output[0].phases[0]", "phase", None),
    "a template's option": (
        output('format = "template"\npath = "a.txt"'),
        "fuki.output[0]",
        "'template'",
        "add template",
    ),
    "a template": (
        output('format = "template"\ntemplate = "brken.j2"\npath = "a.txt"'),
        "fuki.output[0].template",
        "no template 'brken.j2'",
        "did you mean 'broken.j2'?",
    ),
    "a template's syntax": (
        output('format = "template"\ntemplate = "broken.j2"\npath = "a.txt"'),
        "fuki.output[0].template",
        "cannot be rendered",
        None,
    ),
    "a template's path": (
        output('format = "template"\ntemplate = "broken.j2"'),
        "fuki.output[0]",
        "needs a path",
        "add path",
    ),
    "firmware": (output('format = "igvm"'), "fuki.output[0]", "no firmware", "[[fuki.firmware]]"),
    "one path": (
        UKI + output('format = "manifest"\npath = "acme_41.3.efi"'),
        "fuki.output[1]",
        "two outputs write",
        "own",
    ),
    "one path, spelled otherwise": (
        UKI + output('format = "manifest"\npath = "./folder.efi/../acme_41.3.efi"'),
        "fuki.output[1]",
        "two outputs",
        "own",
    ),
    "a folder's path": (output('format = "uki"\npath = "folder.efi"'), "fuki.output[0]", "it is a directory", None),
    "a path below a file": (output('format = "uki"\npath = "stub/a.efi"'), "fuki.output[0]", "Not a directory", None),
    "an input's path": (
        output('format = "uki"\npath = "vmlinuz"'),
        "fuki.output[0]",
        "replace the input vmlinuz",
        "another",
    ),
    "the key's path": (
        SIGN + output('format = "uki"\npath = "db.key"'),
        "fuki.output[0]",
        "the input db.key",
        "another",
    ),
    "a manifest's signature": (
        output('format = "manifest"\nsign = {backend = "local", key = "db.key"}'),
        "fuki.output[0].sign",
        "no image",
        "uki",
    ),
    "an output's backend": (
        output('format = "uki"\nsign = {backend = "lokal", key = "db.key"}'),
        "fuki.output[0].sign.backend",
        "'lokal'",
        "did you mean 'local'?",
    ),
    "a backend": ('[fuki.sign]\nbackend = "lokal"\n', "fuki.sign.backend", "'lokal'", "did you mean 'local'?"),
    "a signer's option": (SIGN + 'certficate = "db.crt"\n', "fuki.sign.certficate", "unknown key", "'certificate'?"),
    "a key": (SIGN.replace("db.key", "no.key"), "fuki.sign.key", "no.key", None),
    "a key's content": (SIGN.replace("db.key", "db.crt"), "fuki.sign.key", "not a private key", "a certificate"),
    "a certificate": (SIGN.replace("db.crt", "no.crt"), "fuki.sign.certificate", "no.crt", None),
    "no certificate": (
        SIGN.replace('certificate = "db.crt"', ""),
        "fuki.sign.certificate",
        "no certificate",
        "firmware",
    ),
    "another certificate": (
        SIGN.replace("db.crt", "other.crt"),
        "fuki.sign.certificate",
        "is not that of the key",
        None,
    ),
    "a time": (SIGN + "signing-time = true\n", "fuki.sign.signing-time", "no time to sign with", "SOURCE_DATE_EPOCH"),
    "a signing program": (
        '[fuki.sign]\nbackend = "command"\ncommand = ["./sign-it"]\ncertificate = "db.crt"\n',
        "fuki.sign.command",
        "./sign-it",
        None,
    ),
    "a policy's key": ('[[fuki.pcr-policy]]\nkey = "no.key"\n', "fuki.pcr-policy[0].key", "no.key", None),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_plan_check_and_build_say_the_same_of(directory, mistake, monkeypatch):
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    tables, where, message, hint = MISTAKES[mistake]
    with (directory / "fuki.toml").open("a") as recipe:
        recipe.write(f"\n{tables}")
    before = sorted(directory.rglob("*"))

    outcomes = [invoke(directory, verb) for verb in ("plan", "check", "build")]
    first = outcomes[0]
    error, *hints = first.err.splitlines()
    assert error.startswith(f"fuki: error: {where}: ")
    assert message in error
    assert hint is None or hint in hints[0]
    assert first.code in {1, 2, 4}
    assert not first.out
    assert [(outcome.code, outcome.err) for outcome in outcomes] == [(first.code, first.err)] * 3
    assert sorted(directory.rglob("*")) == before


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        (output('format = "ukii"'), "fuki.output[0].format"),
        (output('format = "predictions"\nbanks = ["md5"]'), "fuki.output[0].banks"),
        (SIGN.replace("db.key", "no.key"), "no.key"),
    ],
)
def test_the_cells_of_a_matrix_are_previewed_as_well(directory, tables, message):
    with (directory / "fuki.toml").open("a") as recipe:
        recipe.write(f"\n[fuki.matrix]\nsize = [1, 2]\n{tables}")
    before = sorted(directory.rglob("*"))

    for verb in ("plan", "check", "build"):
        outcome = invoke(directory, verb)
        errors = [line for line in outcome.err.splitlines() if line.startswith("fuki: error: ")]
        assert len(errors) == 2
        assert all(message in error for error in errors)
        assert outcome.code in {2, 4}
    assert sorted(directory.rglob("*")) == before


def test_planned_sizes_and_signers_are_those_of_the_build(directory):
    with (directory / "fuki.toml").open("a") as recipe:
        recipe.write(f'\n{SIGN}\n[[fuki.addon]]\nname = "a"\ncmdline = "b"\n{UKI}')
        recipe.write(output('format = "addon"') + output('format = "manifest"\npath = "out/manifest.json"'))
    planned = json.loads(succeed(directory, "plan", "--json").out)
    built = json.loads(succeed(directory, "build", "--json").out)

    files = [(file["path"], item["format"], file["size"]) for item in planned["outputs"] for file in item["files"]]
    sizes = {artifact["path"]: artifact["size"] for artifact in built["artifacts"]}
    assert [(path, format_) for path, format_, _ in files] == [(a["path"], a["format"]) for a in built["artifacts"]]
    assert [size for _, _, size in files] == [
        sizes["acme_41.3.efi"], sizes["acme_41.3.efi.extra.d/a.addon.efi"], None
    ]  # fmt: skip
    assert [item["signed-by"] for item in planned["outputs"]] == [["fuki.sign"], ["fuki.sign"], []]

    (signer,) = planned["signers"]
    assert (signer["where"], signer["backend"], signer["signs"]) == ("fuki.sign", "local", ["image"])
    assert signer["subject"] == "CN=Acme db"
    told = subprocess.run(
        ["openssl", "x509", "-in", "db.crt", "-noout", "-fingerprint", "-sha256", "-enddate", "-dateopt", "iso_8601"],
        cwd=directory, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    assert signer["sha256"] == told[0].partition("=")[2].replace(":", "").lower()
    assert signer["expires"][:10] == told[1].partition("=")[2][:10]


def test_what_would_be_replaced_is_told(directory):
    def states() -> list[bool]:
        planned = json.loads(succeed(directory, "plan", "--json").out)
        return [file["replaces"] for file in planned["outputs"][0]["files"]]

    assert states() == [False]
    succeed(directory, "build")
    assert states() == [True]
    assert "replaces acme_41.3.efi" in succeed(directory, "plan").out


def test_nobody_is_asked_for_the_passphrase_of_a_key(directory, monkeypatch):
    identity = make_identity("Acme locked")
    write_pkcs12(directory / "locked.p12", identity, passphrase="secret")  # noqa: S106 - of a key that nobody has
    write_certificates(directory / "locked.crt", identity.certificate)
    with (directory / "fuki.toml").open("a") as recipe:
        recipe.write('\n[fuki.sign]\nbackend = "local"\nkey = "locked.p12"\npassphrase = "env:LOCKED"\n')
    monkeypatch.delenv("LOCKED", raising=False)
    (signer,) = json.loads(succeed(directory, "plan", "--json").out)["signers"]
    assert signer["subject"] is None
    assert "known to the key's store only" in succeed(directory, "plan").out

    with (directory / "fuki.toml").open("a") as recipe:
        recipe.write('certificate = "locked.crt"\n')
    succeed(directory, "check")
    (signer,) = json.loads(succeed(directory, "plan", "--json").out)["signers"]
    assert signer["subject"] == "CN=Acme locked"
    assert "LOCKED" in invoke(directory, "build").err


def test_a_program_that_signs_is_not_run(directory):
    program = directory / "sign-it"
    program.write_text("#!/bin/sh\ntouch ran\nexit 1\n")
    program.chmod(0o755)
    with (directory / "fuki.toml").open("a") as recipe:
        recipe.write('\n[fuki.sign]\nbackend = "command"\ncommand = ["./sign-it"]\ncertificate = "db.crt"\n')
    assert "CN=Acme db" in succeed(directory, "plan").out
    succeed(directory, "check")
    assert not (directory / "ran").exists()
    assert invoke(directory, "build").code == 4
    assert (directory / "ran").exists()


def test_without_signatures_no_key_is_looked_for(directory):
    with (directory / "fuki.toml").open("a") as recipe:
        recipe.write(f"\n{SIGN.replace('db.key', 'no.key')}")
    assert invoke(directory, "plan").code == 4
    assert not json.loads(succeed(directory, "plan", "--unsigned", "--json").out)["signers"]
    succeed(directory, "check", "--unsigned")
    succeed(directory, "build", "--unsigned")
