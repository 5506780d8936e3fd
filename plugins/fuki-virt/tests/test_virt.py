"""Hypervisors. Expected ids were collected with the SMBIOS strings, and not computed by fuki."""

import re
from pathlib import Path

import fuki_build
import parts
from fuki_build.formats.uki import hwids
from fuki_build.testing import assert_platform, listed_ids, recipe

from fuki_virt import Nutanix, OpenStack, VirtualBox, VMware

README = Path(__file__).parents[1] / "README.md"

RECIPE = recipe(name="guest", os_release={"text": "ID=guest\n"})


def test_vmware_has_the_ids_that_were_seen_there():
    ids = {9: "4a8a248d-9e6b-5216-b83e-6cdf9bde8d0d", 8: "332453e7-0d0e-5119-bb54-4f8991d6d513"}
    assert_platform(VMware(), {"VMware 20,1": ids})


def test_virtualbox_has_the_ids_that_were_seen_there():
    assert_platform(VirtualBox(), {"VirtualBox": {9: "d115e295-974b-5e75-9adc-d977e762cf4b"}})


def test_nutanix_has_the_ids_that_were_seen_there():
    assert_platform(Nutanix(), {"Nutanix AHV": {9: "8f920a44-7f14-56c1-a11a-b9cb2f26f6d7"}})


def test_openstack_has_the_ids_that_were_seen_there():
    assert_platform(OpenStack(), {"OpenStack Nova": {9: "3d70122a-9f43-5bcc-b223-240b79ec14e6"}})


def test_each_platform_is_listed_under_an_id_of_its_own_though_all_are_loaded():
    assert listed_ids("vmware", "virtualbox", "nutanix", "openstack", plugins=["virt"]) == {
        "4a8a248d-9e6b-5216-b83e-6cdf9bde8d0d": "VMware 20,1",
        "d115e295-974b-5e75-9adc-d977e762cf4b": "VirtualBox",
        "8f920a44-7f14-56c1-a11a-b9cb2f26f6d7": "Nutanix AHV",
        "3d70122a-9f43-5bcc-b223-240b79ec14e6": "OpenStack Nova",
    }


def test_the_readme_shows_how_a_libvirt_guest_with_strings_of_its_own_is_matched(tmp_path: Path):
    for name, part in (("stub", "stub-x64"), ("vmlinuz", "kernel-x64"), ("OVMF.fd", "ovmf-generic")):
        (tmp_path / name).symlink_to(parts.get(part))
    (example,) = re.findall(r"```toml\n(\[\[fuki\.firmware\]\]\n.*?match = .*?)```", README.read_text(), re.DOTALL)
    # The strings of systemd's own test data stand in for the tenant's, so that the id comes from there.
    example = example.replace('"Acme"', '"Micro-Star International Co., Ltd."').replace('"Guest"', '"MS-7D70"')
    (tmp_path / "fuki.toml").write_text(RECIPE + example)
    with fuki_build.plan(tmp_path / "fuki.toml") as planned:
        (section,) = planned.uki.find(".hwids")
        records = hwids.decode(section.content.read_small(4096, ".hwids"))
    assert [str(record.chid) for record in records] == ["c12c1f4a-332d-5d72-aa36-7a3d413b479a"]
