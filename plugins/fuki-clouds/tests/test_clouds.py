"""The smaller clouds. Expected ids were collected with the SMBIOS strings, and not computed by fuki."""

from pathlib import Path

import fuki_build
import parts
import pytest
from fuki_build.hooks import Platform
from fuki_build.testing import assert_platform, indistinguishable, listed_ids, recipe

from fuki_clouds import Alibaba, DigitalOcean, Hetzner, Ibm, Oci

Q35 = "817fca52-ae83-52f5-8642-9497f79d49d0"
I440FX = "a141acf9-eb8a-52b7-b7c8-e94b402a1590"
ANY_QEMU = "7f5dbe14-cfc8-595a-95fd-0fda870d7b52"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    for name, part in (("stub", "stub-x64"), ("vmlinuz", "kernel-x64"), ("OVMF.fd", "ovmf-generic")):
        (tmp_path / name).symlink_to(parts.get(part))
    return tmp_path / "fuki.toml"


def collisions(path: Path, platform: str) -> list[str]:
    firmware = f"""
[[fuki.firmware]]
source = "file"
path = "OVMF.fd"
id = "ovmf-cloud"
platforms = ["{platform}"]
"""
    path.write_text(recipe(firmware, plugins=["clouds"]))
    with fuki_build.plan(path) as planned:
        return [finding.message for finding in planned.findings if finding.rule == "match-collision"]


def test_alibaba_has_the_ids_that_were_seen_there():
    assert_platform(Alibaba(), {"Alibaba Cloud ECS": {9: "bc36b45b-3f45-5362-9a47-fcee32d528ac"}})


def test_digitalocean_has_the_ids_that_were_seen_there():
    assert_platform(DigitalOcean(), {"DigitalOcean Droplet": {9: "9934a0ba-7bbb-5ea4-9b91-8e7d42426aae"}})


def test_hetzner_has_the_ids_that_were_seen_there():
    assert_platform(Hetzner(), {"Hetzner vServer": {9: "b6abc8be-7993-5083-a422-c508e57fa0ae"}})


def test_oracle_has_the_ids_of_qemu():
    assert_platform(Oci(), {"Oracle Cloud": {9: I440FX, 11: ANY_QEMU}})


def test_ibm_has_the_ids_of_qemu():
    expected = {"IBM VPC q35": {9: Q35, 11: ANY_QEMU}, "IBM VPC i440fx": {9: I440FX, 11: ANY_QEMU}}
    assert_platform(Ibm(), expected, selectors=["IBM VPC q35", "IBM VPC*"])


def test_oracle_cannot_be_told_from_ibm():
    assert indistinguishable(Oci(), Ibm()) == [("Oracle Cloud", "IBM VPC i440fx")]


def test_each_platform_is_listed_under_an_id_of_its_own_though_all_are_loaded():
    assert listed_ids("hetzner", "digitalocean", "alibaba", plugins=["clouds"]) == {
        "b6abc8be-7993-5083-a422-c508e57fa0ae": "Hetzner vServer",
        "9934a0ba-7bbb-5ea4-9b91-8e7d42426aae": "DigitalOcean Droplet",
        "bc36b45b-3f45-5362-9a47-fcee32d528ac": "Alibaba Cloud ECS",
    }


@pytest.mark.parametrize("platform", [Alibaba(), DigitalOcean(), Hetzner()], ids=lambda platform: platform.name)
def test_a_cloud_with_strings_of_its_own_can_be_told_from_qemu(platform: Platform):
    assert indistinguishable(platform, Ibm()) == []


def test_a_recipe_for_oracle_is_told_that_qemu_and_ibm_select_its_firmware_too(path: Path):
    (message,) = collisions(path, "oci")
    assert "QEMU i440fx" in message
    assert "IBM VPC i440fx" in message


def test_a_recipe_for_hetzner_is_told_of_no_collision(path: Path):
    assert collisions(path, "hetzner") == []
