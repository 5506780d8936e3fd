"""Reasons that lie in profiles, tables and sections, on images that are made of nothing else."""

import json
from pathlib import Path

import pytest

from fuki_build.formats.uki import efifw, hwids
from fuki_build.formats.uki.hwids import Device, DeviceType
from fuki_build.hardware.chid import stub_chids
from fuki_build.hardware.machine import Machine
from fuki_build.testing import invoke
from tests.formats.test_fdt import COMPATIBLE, node, prop, tree
from tests.support.images import Content, layout_of, write

MACHINE = Machine(name="rocket", manufacturer="Acme", product="Rocket")
FILE = '[machine]\nmanufacturer = "Acme"\nproduct = "Rocket"\n'
CHIDS = stub_chids(MACHINE)


def listed(kind: DeviceType, key: str, number: int, profile: int | None = None) -> Content:
    """A table that lists the machine under its id of one type."""
    return ".hwids", hwids.encode([Device(kind, "rocket", key, frozenset({CHIDS[number]}))]), profile


def firmware(fwid: str, profile: int | None = None) -> Content:
    return ".efifw", efifw.encode_header(fwid, 8) + b"firmware", profile


def named(name: str, number: int) -> Content:
    return ".profile", f"ID={name}\n".encode(), number


def reasons(directory: Path, old: list[Content], new: list[Content], *options: object) -> list[tuple[str, list[str]]]:
    """The ids of the reasons, and the machines that each is about."""
    for version, sections in ((1, old), (2, new)):
        release = f"ID=acme\nIMAGE_VERSION={version}\n".encode()
        whole = [(".linux", b"kernel", None), (".osrel", release, None), *sections]
        write(directory / f"{version}.efi", layout_of(whole))
    (directory / "rocket.toml").write_text(FILE)
    outcome = invoke(directory, "release", "1.efi", "2.efi", "--json", *options)
    return [(one["id"], one["machines"]) for one in json.loads(outcome.out)["objections"]]


MAIN = [named("main", 0), (".cmdline", b"quiet", 0)]
FIRST = [listed(DeviceType.UEFI_FW, "one", 9), firmware("one")]


def test_firmware_may_get_another_name(tmp_path):
    assert reasons(tmp_path, FIRST, [listed(DeviceType.UEFI_FW, "two", 9), firmware("two")]) == []


def test_firmware_that_its_table_misses_is_lost(tmp_path):
    assert reasons(tmp_path, FIRST, [listed(DeviceType.UEFI_FW, "one", 9), firmware("two")]) == [
        ("firmware-lost", ["rocket"])
    ]


def test_a_machine_that_is_listed_under_another_id_keeps_its_firmware_where_it_is_described(tmp_path):
    moved = [listed(DeviceType.UEFI_FW, "one", 11), firmware("one")]
    assert reasons(tmp_path, FIRST, moved) == [("firmware-lost", ["rocket"])]
    assert reasons(tmp_path, FIRST, moved, "--machine", "rocket.toml") == []


def test_firmware_of_a_profile_counts_in_that_profile(tmp_path):
    own = [*MAIN, named("own", 1), listed(DeviceType.UEFI_FW, "one", 9, 1), firmware("one", 1)]
    swapped = [named("own", 0), listed(DeviceType.UEFI_FW, "one", 9, 0), firmware("one", 0), named("main", 1)]
    assert reasons(tmp_path, own, swapped) == []
    assert reasons(tmp_path, own, [*MAIN, named("own", 1)]) == [("firmware-lost", ["rocket"])]


def test_an_image_that_gets_profiles_is_succeeded_by_the_first(tmp_path):
    assert reasons(tmp_path, FIRST, [*FIRST, *MAIN, named("debug", 1)]) == []
    assert reasons(tmp_path, [*FIRST, *MAIN], FIRST) == []
    assert reasons(tmp_path, [*FIRST, *MAIN, named("debug", 1)], FIRST) == [("profile-lost", [])]


def test_devicetrees_are_looked_at_as_firmware_is(tmp_path):
    blob = tree(node(b"", prop(COMPATIBLE, b"acme,rocket\0")))
    content = blob.read(0, blob.size, "all of it")
    first = [listed(DeviceType.DEVICETREE, "acme,rocket", 9), (".dtbauto", content, None)]
    assert reasons(tmp_path, first, first) == []
    assert reasons(tmp_path, first, []) == [("devicetree-lost", ["rocket"])]


@pytest.mark.parametrize("table", [b"sbat,1,SBAT\n", b"sbat,1,SBAT Version,sbat,1,https://x.example\n"])
def test_a_table_that_shim_refuses_has_lost_its_components(tmp_path, table):
    first = b"sbat,1,SBAT Version,sbat,1,https://x.example\nacme,1,Acme,acme,1,https://acme.example\n"
    objections = reasons(tmp_path, [(".sbat", first, None)], [(".sbat", table, None)])
    assert {reason for reason, _ in objections} == {"sbat-component-lost"}
