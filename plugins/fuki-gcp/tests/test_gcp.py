"""The platform `gcp`. Expected ids are what systemd-stub computes from Compute Engine's SMBIOS strings."""

import doctest
import json
import subprocess
import sys
from pathlib import Path

import parts
import pytest
from fuki_build import FukiError

import fuki_gcp

IDS = {"3b3363c2-fcf4-5b8f-82ec-f4e3943032b5", "fa23da35-436a-5d5d-add2-bd549606b553"}
"""CHIDs of types 8 and 9 in the stub's dialect, collected with the strings and not computed by fuki."""

RECIPE = """\
[fuki]
name = "cloud"
{plugins}

[fuki.image]
stub = "stub"
linux = "vmlinuz"
os-release = {{ text = "ID=cloud\\n" }}

[[fuki.firmware]]
source = "file"
path = "OVMF.fd"
id = "ovmf-gcp"
platforms = ["{platform}"]
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    for name, part in (("stub", "stub-x64"), ("vmlinuz", "kernel-x64"), ("OVMF.fd", "ovmf-generic")):
        (tmp_path / name).symlink_to(parts.get(part))
    return tmp_path / "fuki.toml"


def fuki(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fuki_build", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_recipe_that_names_gcp_gets_the_ids_that_the_stub_computes_there(recipe: Path):
    recipe.write_text(RECIPE.format(plugins='plugins = ["gcp"]', platform="gcp"))
    done = fuki("plan", "--json", recipe)
    assert done.returncode == 0, done.stderr
    (device,) = json.loads(done.stdout)["images"][0]["devices"]
    assert set(device["chids"]) == IDS
    assert (device["name"], device["key"]) == ("Google Compute Engine", "ovmf-gcp")


def test_a_recipe_that_does_not_load_the_plugin_is_told_how(recipe: Path):
    recipe.write_text(RECIPE.format(plugins="", platform="gcp"))
    done = fuki("plan", recipe)
    assert done.returncode == 2
    assert "add 'gcp' to plugins" in done.stderr


def test_a_selector_is_refused_because_all_sizes_are_alike(recipe: Path):
    recipe.write_text(RECIPE.format(plugins='plugins = ["gcp"]', platform="gcp:n2d-standard-2"))
    done = fuki("plan", recipe)
    assert done.returncode == 2
    assert "fuki.firmware[0].platforms[0]: gcp has no machine 'n2d-standard-2'" in done.stderr


def test_a_selector_is_refused_with_an_error_of_fuki():
    with pytest.raises(FukiError):
        fuki_gcp.ComputeEngine().machines("n2d-standard-2")


def test_the_docstring_examples_hold():
    assert doctest.testmod(fuki_gcp).failed == 0
    assert doctest.testmod(fuki_gcp).attempted > 0
