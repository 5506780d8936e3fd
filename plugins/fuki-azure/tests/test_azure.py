"""The platforms `azure` and `hyperv`. Expected ids were collected with the SMBIOS strings, and not computed by fuki."""

import json
from pathlib import Path

import fuki_build
import parts
import pytest
from fuki_build.testing import assert_platform, indistinguishable, listed_ids, recipe

from fuki_azure import Azure, HyperV

MANUFACTURER_AND_PRODUCT = "6d4071db-0b8f-520b-806c-81e804431336"
AND_BASEBOARD = "27793478-b19b-57b6-9b0b-17fd52bb3e83"
IDS = {
    3: "f6d11450-9814-5ca6-afc5-aa9f79eda934",
    8: AND_BASEBOARD,
    9: MANUFACTURER_AND_PRODUCT,
    10: AND_BASEBOARD,
    11: MANUFACTURER_AND_PRODUCT,
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    for name, part in (("stub", "stub-x64"), ("vmlinuz", "kernel-x64"), ("OVMF.fd", "ovmf-generic")):
        (tmp_path / name).symlink_to(parts.get(part))
    return tmp_path / "fuki.toml"


def collisions(path: Path, *platforms: str) -> list[str]:
    firmware = f"""
[[fuki.firmware]]
source = "file"
path = "OVMF.fd"
id = "ovmf-azure"
platforms = {json.dumps(platforms)}
"""
    path.write_text(recipe(firmware, plugins=["azure"]))
    with fuki_build.plan(path) as planned:
        return [finding.message for finding in planned.findings if finding.rule == "match-collision"]


def test_azure_has_the_ids_that_were_seen_there():
    assert_platform(Azure(), {"Azure Gen2": IDS}, selectors=["Azure Gen2"])


def test_hyper_v_has_the_same_ids():
    assert_platform(HyperV(), {"Hyper-V Gen2": IDS}, selectors=["Hyper-V Gen2"])


def test_azure_cannot_be_told_from_hyper_v():
    assert indistinguishable(Azure(), HyperV()) == [("Azure Gen2", "Hyper-V Gen2")]


def test_azure_is_listed_under_manufacturer_and_product():
    assert listed_ids("azure", plugins=["azure"]) == {MANUFACTURER_AND_PRODUCT: "Azure Gen2"}


def test_a_recipe_for_azure_is_told_that_hyper_v_selects_its_firmware_too(path: Path):
    (message,) = collisions(path, "azure")
    assert "Hyper-V Gen2" in message


def test_a_recipe_for_hyper_v_is_told_that_azure_selects_its_firmware_too(path: Path):
    (message,) = collisions(path, "hyperv")
    assert "Azure Gen2" in message


def test_a_recipe_that_names_both_is_told_nothing(path: Path):
    assert collisions(path, "azure", "hyperv") == []


def test_confidential_sizes_launch_under_hyper_v():
    sites = {site.name: site for site in Azure().launch_sites()}
    assert {site.vmm for site in sites.values()} == {"hyperv"}
    assert sites["DCasv5"].technologies == ("sev-snp",)
    assert sites["DCesv6"].technologies == ("tdx",)
    assert HyperV().launch_sites() == []
