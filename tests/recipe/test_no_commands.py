"""What a recipe of a stranger can have run, and how that is refused."""

import os
from pathlib import Path

import pytest

import fuki_build
from fuki_build.errors import RecipeError
from fuki_build.testing.secure_boot import make_identity, write_certificates
from tests.conftest import RECIPE, Fuki

UKI = '[[fuki.output]]\nformat = "uki"\npath = "a.efi"\n'
FIRMWARE = '[[fuki.firmware]]\nsource = "command"\nid = "made"\nplatforms = ["qemu"]\ncommand = ["./run"]\n'
SIGNER = '[fuki.sign]\nbackend = "command"\ncommand = ["./run"]\ncertificate = "db.crt"\n'
SYSUPDATE = '[[fuki.output]]\nformat = "sysupdate"\npath = "feed"\nurl = "https://acme.example/"\n'
VERBS = {
    "plan": ("plan",),
    "check": ("check",),
    "build": ("build",),
    "inputs": ("inputs",),
    "two recipes": ("check", "fuki.toml", "other.toml"),
    "an export": ("export", "ninja", "-o", "build.ninja"),
}


@pytest.fixture
def directory(workshop: Path) -> Path:
    """The workshop, with a program that leaves a trace, prints, and fails."""
    (workshop / "run").write_text("#!/bin/sh\ntouch ran\necho firmware\nexit 1\n")
    (workshop / "run").chmod(0o755)
    write_certificates(workshop / "db.crt", make_identity("Acme db").certificate)
    return workshop


def write(directory: Path, *tables: str) -> None:
    for name in ("fuki.toml", "other.toml"):
        (directory / name).write_text(RECIPE + "".join(tables) + UKI)


@pytest.mark.parametrize("verb", ["plan", "check", "build"])
def test_a_firmware_source_runs_its_command_when_the_recipe_is_planned(directory, fuki: Fuki, verb):
    write(directory, FIRMWARE)
    fuki(verb, code=2)
    assert (directory / "ran").exists()


@pytest.mark.parametrize("words", VERBS.values(), ids=VERBS)
@pytest.mark.parametrize("how", ["option", "environment"])
def test_without_commands_it_is_refused_and_nothing_runs(directory, fuki: Fuki, words, how):
    write(directory, FIRMWARE)
    before, environment = ((), {"FUKI_NO_COMMANDS": "1"}) if how == "environment" else (("--no-commands",), {})
    done = fuki(*before, *words, code=2, **environment)
    assert "fuki.firmware[0]" in done.stderr
    assert "commands of recipes are off" in done.stderr
    assert not (directory / "ran").exists()
    assert not (directory / "a.efi").exists()


@pytest.mark.parametrize("verb", ["plan", "check", "build"])
def test_a_signing_program_is_refused_as_early(directory, fuki: Fuki, verb):
    write(directory, SIGNER)
    done = fuki("--no-commands", verb, code=2)
    assert "fuki.sign.command: the recipe has ./run run" in done.stderr
    assert not (directory / "ran").exists()


def test_every_cell_of_a_matrix_is_refused(directory, fuki: Fuki):
    write(directory, '[fuki.matrix]\nplace = ["a", "b"]\n', FIRMWARE)
    text = (directory / "fuki.toml").read_text().replace("a.efi", "{{ matrix.place }}.efi")
    (directory / "fuki.toml").write_text(text)
    fuki("--no-commands", "build", code=2)
    assert not (directory / "ran").exists()
    assert not list(directory.glob("[ab].efi"))


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ('backend = "sbsign"\nkey = "db.key"\ncertificate = "db.crt"\nprogram = "./run"', "program"),
        ('backend = "sbsign"\nkey = "pkcs11:object=a"\ncertificate = "db.crt"\nmodule = "./run"', "module"),
        ('backend = "osslsigncode"\nkey = "pkcs11:object=a"\ncertificate = "db.crt"\nengine = "./run"', "engine"),
        ('backend = "pesign"\nnickname = "db"\ndirectory = "nss"', "directory"),
        ('backend = "pkcs11"\nkey = "pkcs11:object=a"\nmodule-path = "./run"', "module-path"),
        ('backend = "pkcs11"\nkey = "pkcs11:object=a?module-path=/tmp/run"', "key"),
    ],
)
def test_so_are_the_libraries_and_databases_that_signers_of_plugins_would_load(directory, fuki: Fuki, options, key):
    write(directory, f"[fuki.sign]\n{options}\n")
    done = fuki("--plugin", "sbsign", "--plugin", "pkcs11", "--no-commands", "plan", code=2)
    assert f"fuki.sign.{key}: the recipe has" in done.stderr


def test_so_is_gnupg_s_directory_whose_configuration_names_programs(directory, fuki: Fuki):
    write(directory, SYSUPDATE, 'gpg-key = "a"\ngpg-home = "gnupg"\n')
    done = fuki("--no-commands", "build", code=2)
    assert "gpg-home: the recipe has gnupg run" in done.stderr


def test_a_recipe_without_commands_is_built_all_the_same(directory, fuki: Fuki):
    write(directory)
    fuki("--no-commands", "build")
    assert (directory / "a.efi").exists()


@pytest.mark.parametrize("value", ["", "0", "false", "No"])
def test_the_variable_can_say_no(directory, fuki: Fuki, value):
    write(directory, FIRMWARE)
    fuki("plan", code=2, FUKI_NO_COMMANDS=value)
    assert (directory / "ran").exists()


@pytest.mark.parametrize("tables", [FIRMWARE, SIGNER], ids=["firmware", "signer"])
def test_a_library_user_refuses_them_for_one_plan(directory, tables):
    write(directory, tables)
    with pytest.raises(RecipeError, match="commands of recipes are off"):  # noqa: SIM117 - the plan, or what previews it
        with fuki_build.plan(directory, commands=False) as planned:
            fuki_build.preview(planned)
    assert not (directory / "ran").exists()
    assert "FUKI_NO_COMMANDS" not in os.environ
