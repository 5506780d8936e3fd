"""The simulation of systemd-stub's search (chid.c and pe.c, 262.1)."""

from itertools import pairwise
from struct import pack
from typing import Any
from uuid import UUID

import pytest

from fuki_build.hardware.machine import Machine
from fuki_build.image.blob import Blob
from fuki_build.image.section import Section
from fuki_build.image.stub import model_of
from tests.support.selections import DEVICETREE, FIRMWARE, OTHER, devicetree, efi_firmware, own, run, selected, table

DOCUMENTED_ORDER = [17, 16, 15, 3, 6, 8, 10, 4, 5, 7, 9, 11]


@pytest.mark.parametrize(("first", "second"), list(pairwise(DOCUMENTED_ORDER)))
def test_a_type_comes_before_the_next_one_wherever_its_record_stands(first: int, second: int):
    measured = run(
        efi_firmware("late"),
        efi_firmware("early"),
        table((FIRMWARE, own(second), "late"), (FIRMWARE, own(first), "early")),
    )
    assert selected(measured) == ("early", first)


@pytest.mark.parametrize("kind", [0, 1, 2, 12, 13, 14])
def test_a_type_is_never_tried(kind: int):
    assert selected(run(efi_firmware("x"), table((FIRMWARE, own(kind), "x")))) is None


def test_of_two_records_of_one_id_the_first_counts():
    measured = run(efi_firmware("b"), efi_firmware("a"), table((FIRMWARE, own(9), "a"), (FIRMWARE, own(9), "b")))
    assert selected(measured) == ("a", 9)


def test_of_two_firmware_images_of_one_name_the_first_counts():
    first, second = efi_firmware("x", payload=b"first"), efi_firmware("x", payload=b"second")
    hit = run(first, second, table((FIRMWARE, own(9), "x"))).firmware
    assert hit is not None
    assert hit.section is first


def test_a_firmware_image_that_the_stub_cannot_read_is_passed_over():
    broken = Section(name=".efifw", content=Blob.of_bytes(b"\xad\xde\xed\xfe" + bytes(9)), source="", profile=None)
    good = efi_firmware("x")
    hit = run(broken, good, table((FIRMWARE, own(9), "x"))).firmware
    assert hit is not None
    assert hit.section is good


def test_a_machine_that_is_in_no_record_selects_nothing():
    measured = run(
        efi_firmware("x"), devicetree("d"), table((FIRMWARE, own(9), "x"), (DEVICETREE, own(9), "d")), machine=OTHER
    )
    assert (measured.firmware, measured.devicetree) == (None, None)


def test_an_image_without_a_table_selects_nothing():
    assert run(efi_firmware("x")).firmware is None


def test_a_table_that_the_stub_refuses_selects_nothing():
    good = table((FIRMWARE, own(9), "x"))
    data = bytearray(good.content.read_at(0, good.content.size))
    broken = Section(
        name=".hwids",
        content=Blob.of_bytes(bytes(data[:28] + pack("<I", 0x3000001C) + bytes(24) + data[28:])),
        source="",
        profile=None,
    )
    assert run(efi_firmware("x"), broken).firmware is None


def test_a_record_whose_firmware_is_missing_ends_the_search():
    measured = run(efi_firmware("there"), table((FIRMWARE, own(3), "gone"), (FIRMWARE, own(9), "there")))
    assert selected(measured) == ("gone", 3)
    assert measured.firmware is not None
    assert measured.firmware.section is None
    assert ".efifw" not in [section.name for section in measured.measured]


def test_firmware_and_devicetrees_are_searched_apart():
    measured = run(
        efi_firmware("x"),
        devicetree("acme,board"),
        table((DEVICETREE, own(3), "acme,board"), (FIRMWARE, own(9), "x")),
    )
    assert selected(measured) == ("x", 9)
    assert measured.devicetree is not None
    assert (measured.devicetree.record.key, measured.devicetree.kind) == ("acme,board", 3)


def test_a_devicetree_is_found_by_its_first_compatible_string():
    wrong, right = devicetree("acme,other"), devicetree("acme,board")
    hit = run(wrong, right, table((DEVICETREE, own(9), "acme,board"))).devicetree
    assert hit is not None
    assert hit.section is right


def test_a_record_of_zeros_matches_a_machine_without_a_display_panel():
    """The stub compares with the id that it did not compute."""
    sections = (efi_firmware("x"), table((FIRMWARE, UUID(int=0), "x")))
    assert selected(run(*sections, machine=OTHER)) == ("x", 17)
    assert selected(run(*sections)) is None


def test_a_machine_of_which_only_ids_are_known_is_found_by_them():
    listed = Machine(name="listed", chids=((9, own(9)),))
    assert selected(run(efi_firmware("x"), table((FIRMWARE, own(9), "x")), machine=listed)) == ("x", 9)
    assert selected(run(efi_firmware("x"), table((FIRMWARE, own(11), "x")), machine=listed)) is None


@pytest.mark.parametrize(
    ("version", "firmware", "tree"),
    [((255, 0), False, False), ((257, 3), False, True), ((261, 0), False, True), ((262, 1), True, True)],
)
def test_what_a_stub_of_a_version_selects(version: tuple[int, int], firmware: bool, tree: bool):
    sections = (efi_firmware("x"), devicetree("d"), table((FIRMWARE, own(9), "x"), (DEVICETREE, own(9), "d")))
    measured = run(*sections, model=model_of(version))
    assert (measured.firmware is not None, measured.devicetree is not None) == (firmware, tree)
    names = [section.name for section in measured.measured]
    assert (".efifw" in names, ".dtbauto" in names) == (firmware, tree)


# systemd, src/boot/test-chid-match.c and src/boot/hwids/test/: machines, and the ids in its table.
SYSTEMD = {
    "Device 1": (
        ("First Vendor", "Laptop X", "Device 1", "KD01", "First ODM", "FODM1"),
        DEVICETREE,
        "test,device-1",
        ("2bdcafa9-727c-5e8b-b13b-236f1391c25a", "c87886da-8026-5149-8c95-6d2504c1b7f9"),
    ),
    "Device 2": (
        ("Second Vendor", "Laptop 2", "Device 2", "KD02", "Second ODM", "SODM2"),
        DEVICETREE,
        "test,device-2",
        ("6ff16153-a32f-548a-9cd7-3574a5d0caa4", "0afb4762-c5bb-5fba-887b-d56ce73ee793"),
    ),
    "Device 3": (
        ("First Vendor", "Tablet Y", "Device 3", "KD03", "First ODM", "FODM2"),
        DEVICETREE,
        "test,device-3",
        ("06b74502-e5d8-5ecd-a67a-e77654cf3b17", "a8d84e4e-23d9-5629-86da-a49d859b5cde"),
    ),
    "Device 4": (
        ("VMware, Inc.", "VMware", "VMware20,1", "0000000000000001", "VMware, Inc.", "VBSA"),
        FIRMWARE,
        "test,vmware",
        ("208a77d5-ba4b-518a-8ea7-18eab0e50654", "4a8a248d-9e6b-5216-b83e-6cdf9bde8d0d"),
    ),
}
FIELDS = ("manufacturer", "family", "product", "sku", "baseboard_manufacturer", "baseboard_product")


@pytest.mark.parametrize("name", SYSTEMD)
def test_systemds_own_test_machines_find_what_systemds_test_expects(name: str):
    strings, kind, key, _ = SYSTEMD[name]
    rows = [(kind, UUID(value), key) for _, kind, key, values in SYSTEMD.values() for value in values]
    trees = [devicetree(key) for _, kind, key, _ in SYSTEMD.values() if kind is DEVICETREE]
    fields: dict[str, Any] = dict(zip(FIELDS, strings, strict=True))
    machine = Machine(name=name, **fields)
    measured = run(efi_firmware("test,vmware"), *trees, table(*rows), machine=machine)
    hits = {FIRMWARE: measured.firmware, DEVICETREE: measured.devicetree}
    assert {k: hit.record.key for k, hit in hits.items() if hit} == {kind: key}
    hit = hits[kind]
    assert hit is not None
    assert hit.section is not None
