from struct import pack

import pytest

from fuki_build.errors import FormatError
from fuki_build.formats.hardware import smbios
from tests.support.smbios import T440S, baseboard, bios, dump, enclosure, end, structure, system, table


def test_a_table_tells_the_strings_of_its_machine():
    assert smbios.identity(table()) == {**T440S, "bios_major": "02", "bios_minor": "19", "enclosure_type": "a"}


def test_the_bytes_of_a_structure_are_those_of_the_specification():
    # DSP0134, 6.1.3: a BIOS structure with two strings, and one without any.
    data = bytes.fromhex("00 18 0000 01 02 00e0 00 01 0000000000000000 0000 02 19 ff ff") + b"Acme\0B1\0\0"
    first, last = smbios.structures(data + bytes.fromhex("7f 04 0100 0000"))
    assert (first.kind, first.strings, first.text(4), first.text(5)) == (0, (b"Acme", b"B1"), "Acme", "B1")
    assert (last.kind, last.strings) == (127, ())


def test_the_first_structure_of_a_kind_counts():
    two = system(T440S) + system({"manufacturer": "Other", "product": "Other"}) + end()
    assert smbios.identity(two)["manufacturer"] == "LENOVO"


def test_what_follows_the_end_mark_is_passed_over():
    assert smbios.identity(table() + b"\xff" * 7) == smbios.identity(table())


def test_a_table_may_end_without_a_mark():
    assert smbios.identity(system(T440S))["product"] == "20ARS19C0C"


def test_a_string_that_is_left_out_is_empty():
    assert smbios.identity(system({"manufacturer": "QEMU"}) + end()) == {
        "manufacturer": "QEMU",
        "product": "",
        "sku": "",
        "family": "",
    }


def test_a_string_number_beyond_the_strings_is_an_empty_string():
    data = structure(1, bytes([1, 9, 0, 0]) + bytes(16) + bytes([6, 0, 0]), b"QEMU")
    assert smbios.identity(data + end())["product"] == ""


def test_a_system_structure_of_smbios_2_0_has_no_sku_and_no_family():
    machine = smbios.identity(structure(1, bytes([1, 2, 0, 0]), b"QEMU", b"PC") + end())
    assert (machine["product"], machine["sku"], machine["family"]) == ("PC", "", "")


def test_a_bios_structure_of_smbios_2_0_has_no_release():
    assert "bios_major" not in smbios.identity(bios(T440S, None) + system(T440S) + end())


@pytest.mark.parametrize("length", range(4, 0x1B))
def test_a_structure_may_end_before_any_field(length: int):
    """DSP0134, 7.2: what a structure's length leaves out is not there."""
    formatted = bytes([1, 2, 0, 0]) + bytes(16) + bytes([6, 3, 4])
    machine = smbios.identity(structure(1, formatted[: length - 4], b"Acme", b"PC", b"SKU", b"Family") + end())
    assert machine == {
        "manufacturer": "Acme" if length > 4 else "",
        "product": "PC" if length > 5 else "",
        "sku": "SKU" if length > 0x19 else "",
        "family": "",
    }


def test_half_a_release_and_no_kind_of_enclosure_are_none():
    short = structure(0, bytes(0x15 - 4)) + structure(3, bytes(1)) + structure(1, bytes([1]), b"Acme") + end()
    assert set(smbios.identity(short)) == {
        *("bios_vendor", "bios_version", "manufacturer", "product", "sku", "family"),
    }


def test_strings_are_not_stripped():
    assert smbios.identity(system({"manufacturer": "  QEMU "}) + end())["manufacturer"] == "  QEMU "


def test_a_string_that_is_not_utf_8_is_read_all_the_same():
    data = structure(1, bytes([1, 0, 0, 0]), b"Caf\xe9")
    manufacturer = smbios.identity(data + end())["manufacturer"]
    assert manufacturer.encode("utf-8", "surrogateescape") == b"Caf\xe9"
    assert smbios.readable(manufacturer) == r"Caf\xe9"


@pytest.mark.parametrize("anchor", [b"_SM3_", b"_SM_"])
def test_a_dump_is_its_table_behind_an_entry_point(anchor: bytes):
    data = dump(table())
    data = anchor.ljust(5, b"\0") + data[5:]
    assert smbios.split_dump(data) == table()


def test_a_bare_table_is_a_dump_too():
    assert smbios.split_dump(table()) == table()


def test_one_structure_of_each_kind_is_all_that_counts():
    noise = b"".join(structure(kind, bytes(20), b"noise") for kind in (4, 7, 11, 16, 17, 32, 126, 200))
    machine = smbios.identity(noise + baseboard(T440S) + enclosure() + system(T440S) + noise + bios(T440S) + end())
    assert machine == smbios.identity(table())


BROKEN = {
    "nothing": b"",
    "a dump without a table": dump(b""),
    "no system structure": bios(T440S) + end(),
    "a structure smaller than its header": pack("<BBH", 1, 3, 0) + b"\0\0",
    "a structure of no size": bytes(64),
    "a structure beyond the end": pack("<BBH", 1, 27, 0) + b"\1",
    "strings without an end": system(T440S)[:-2],
    "strings with half an end": system(T440S)[:-1],
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "megabytes": bytes(17 << 20),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_damaged_table_is_refused(name: str):
    with pytest.raises(FormatError, match="SMBIOS"):
        smbios.identity(smbios.split_dump(BROKEN[name]))
