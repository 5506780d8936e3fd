"""A dry run finds what the programs would miss, in a build's words, and starts none of them."""

import json
import shutil
from pathlib import Path

import parts
import pytest
from fuki_build.testing import invoke, recipe, succeed

KEY = 'key = "db.key"\ncertificate = "db.crt"\n'


def signed_recipe(backend: str, options: str) -> str:
    return recipe(f'[[fuki.sign]]\nbackend = "{backend}"\n{options}', plugins=["sbsign"], stub="stub.efi")


@pytest.fixture
def directory(keys: Path, tmp_path: Path, programs: Path) -> Path:  # noqa: ARG001 - for PATH
    directory = tmp_path / "recipe"
    shutil.copytree(keys, directory)
    (directory / "stub.efi").symlink_to(parts.get("stub-x64"))
    (directory / "vmlinuz").symlink_to(parts.get("kernel-x64"))
    return directory


@pytest.mark.parametrize("backend", ["sbsign", "systemd-sbsign", "osslsigncode"])
def test_the_signer_is_told_and_no_program_runs(directory: Path, backend: str):
    program = directory / "program"
    program.write_text("#!/bin/sh\ntouch ran\nexit 1\n")
    program.chmod(0o755)
    (directory / "fuki.toml").write_text(signed_recipe(backend, f'{KEY}program = "./program"\n'))
    (signer,) = json.loads(succeed(directory, "plan", "--json").out)["signers"]
    assert signer["backend"] == backend
    assert signer["subject"] is not None
    assert not (directory / "ran").exists()
    assert invoke(directory, "build").code == 4
    assert (directory / "ran").exists()


@pytest.mark.parametrize("backend", ["sbsign", "systemd-sbsign", "osslsigncode"])
@pytest.mark.parametrize(
    ("options", "where", "message"),
    [
        (KEY + 'program = "./nowhere"\n', "fuki.sign[0].program", "there is no program"),
        (KEY.replace("db.key", "no.key"), "fuki.sign[0].key", "no.key"),
        (KEY.replace("db.crt", "no.crt"), "fuki.sign[0].certificate", "no.crt"),
        (KEY + 'pin = "env:PIN"\n', "fuki.sign[0].pin", "a key in a file has no PIN"),
    ],
)
def test_a_mistake_is_the_same_error_from_plan_check_and_build(
    directory: Path, backend: str, options: str, where: str, message: str
):
    (directory / "fuki.toml").write_text(signed_recipe(backend, options))
    outcomes = [invoke(directory, verb) for verb in ("plan", "check", "build")]
    assert outcomes[0].err.startswith(f"fuki: error: {where}: ")
    assert message in outcomes[0].err
    assert len({(outcome.code, outcome.err) for outcome in outcomes}) == 1
