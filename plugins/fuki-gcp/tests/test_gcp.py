"""The platform `gcp`. Expected ids are what systemd-stub computes from Compute Engine's SMBIOS strings."""

import json
import subprocess
import sys
from pathlib import Path

import parts
import pytest
from fuki_build import FukiError
from fuki_build.testing import assert_platform, listed_ids, recipe

import fuki_gcp

IDS = {8: "3b3363c2-fcf4-5b8f-82ec-f4e3943032b5", 9: "fa23da35-436a-5d5d-add2-bd549606b553"}
"""CHIDs in the stub's dialect by type, collected with the strings and not computed by fuki."""

FIRMWARE = """
[[fuki.firmware]]
source = "file"
path = "OVMF.fd"
id = "ovmf-gcp"
platforms = ["gcp"]
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    for name, part in (("stub", "stub-x64"), ("vmlinuz", "kernel-x64"), ("OVMF.fd", "ovmf-generic")):
        (tmp_path / name).symlink_to(parts.get(part))
    return tmp_path / "fuki.toml"


def fuki(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fuki_build", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_compute_engine_has_the_ids_that_were_seen_there():
    assert_platform(fuki_gcp.ComputeEngine(), {"Google Compute Engine": IDS}, selectors=["Google*"])


def test_compute_engine_is_listed_under_manufacturer_and_product():
    assert listed_ids("gcp", plugins=["gcp"]) == {IDS[9]: "Google Compute Engine"}


def test_a_recipe_that_forces_types_gets_the_ids_of_all_of_them(path: Path):
    path.write_text(recipe(FIRMWARE + "chid-types = [8, 9]", plugins=["gcp"]))
    done = fuki("plan", "--json", path)
    assert done.returncode == 0, done.stderr
    devices = json.loads(done.stdout)["images"][0]["devices"]
    assert {chid for device in devices for chid in device["chids"]} == set(IDS.values())
    assert {(device["name"], device["fwid"]) for device in devices} == {("Google Compute Engine", "ovmf-gcp")}


def test_a_recipe_that_does_not_load_the_plugin_is_told_how(path: Path):
    path.write_text(recipe(FIRMWARE))
    done = fuki("plan", path)
    assert done.returncode == 2
    assert "add 'gcp' to plugins" in done.stderr


def test_a_selector_is_refused_because_all_sizes_are_alike(path: Path):
    path.write_text(recipe(FIRMWARE.replace('"gcp"', '"gcp:n2d-standard-2"'), plugins=["gcp"]))
    done = fuki("plan", path)
    assert done.returncode == 2
    assert "fuki.firmware[0].platforms[0]: gcp has no machine 'n2d-standard-2'" in done.stderr


def test_series_launch_what_google_documents():
    sites = {site.name: site for site in fuki_gcp.ComputeEngine().launch_sites()}
    assert {name: site.technologies for name, site in sites.items()} == {
        "n2d": ("sev", "sev-snp"), "c2d": ("sev",), "c3d": ("sev",), "c4d": ("sev",), "c3": ("tdx",),
    }  # fmt: skip
    assert {site.vmm for site in sites.values()} == {"gce"}


def test_a_series_that_launches_no_confidential_guests_is_refused():
    with pytest.raises(FukiError, match="n2d"):
        fuki_gcp.ComputeEngine().launch_sites("e2")
