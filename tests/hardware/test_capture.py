from pathlib import Path

import pytest

from fuki_build.errors import FormatError, FukiError
from fuki_build.hardware import capture
from fuki_build.hardware.chid import Dialect, chid, stub_chids
from fuki_build.hardware.machine import Machine, encode_file
from tests.support.smbios import T440S, dump, end, structure, table

LAPTOP = Machine(name="laptop", **T440S, bios_major="02", bios_minor="19", enclosure_type="a")

SYSFS = {
    "sys_vendor": "LENOVO",
    "product_name": "20ARS19C0C",
    "product_family": "ThinkPad T440s",
    "product_sku": "LENOVO_MT_20AR_BU_Think_FM_ThinkPad T440s",
    "board_vendor": "LENOVO",
    "board_name": "20ARS19C0C",
    "bios_vendor": "LENOVO",
    "bios_version": "GJET75WW (2.25 )",
    "bios_release": "2.25",
    "chassis_type": "10",
    "product_serial": "secret",
}
"""As in Documentation/ABI/testing/sysfs-devices-virtual-dmi and drivers/firmware/dmi-id.c of Linux."""

FORMS = {
    "a dump of dmidecode": dump(table()),
    "the kernel's table": table(),
    "a table with signs beyond ASCII": table({**T440S, "sku": "é"}),
    "a machine file": encode_file(LAPTOP),
    "text of fwupdtool": b"Manufacturer: LENOVO\nProductName: 20ARS19C0C\n",
    "text of dmidecode": b"System Information\n\tManufacturer: LENOVO\n\tProduct Name: 20ARS19C0C\n",
    "the legend of systemd-analyze": "LEGEND: M → manufacturer (LENOVO) ┄ P → product-name (20ARS19C0C)\n".encode(),
    "ids of systemd-analyze": b"   9 M-P--------- 0cf8618d-9eff-537c-9f35-46861406eb9c\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_a_machine_is_read_from(form: str):
    machine = capture.decode(FORMS[form], "laptop")
    assert machine.name == "laptop"
    assert str(chid(machine, 9, Dialect.MICROSOFT)) == "0cf8618d-9eff-537c-9f35-46861406eb9c"


def test_a_dump_tells_all_strings():
    assert capture.decode(dump(table()), "laptop") == LAPTOP


REFUSED = {
    "nothing": b"",
    "prose": b"Dear Sir or Madam",
    "text of dmidecode without a system": b"BIOS Information\n\tVendor: x\n",
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "a dump cut short": dump(table())[:100],
    "a machine file with a mistake": b"[machine]\nmanufacturer = 1\n",
    "zeros": bytes(4096),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_tells_nothing_about_a_machine_is_refused(name: str):
    with pytest.raises(FormatError):
        capture.decode(REFUSED[name], "x")


def test_who_gives_something_else_is_told_what_to_give():
    with pytest.raises(FormatError) as caught:
        capture.decode(b"prose", "x")
    assert "dmidecode --dump-bin" in (caught.value.hint or "")


@pytest.fixture
def sysfs(tmp_path: Path) -> Path:
    for name, text in SYSFS.items():
        (tmp_path / name).write_text(text + "\n")
    return tmp_path


def test_this_machine_is_read_from_its_table_where_that_may_be_read(tmp_path: Path):
    (tmp_path / "DMI").write_bytes(table())
    machine = capture.this_machine(tmp_path / "none", tmp_path / "DMI")
    assert (machine.product, machine.bios_minor) == ("20ARS19C0C", "19")


def test_this_machine_is_the_same_read_from_sysfs(sysfs: Path, tmp_path: Path):
    (tmp_path / "DMI").write_bytes(table())
    from_table = capture.this_machine(sysfs, tmp_path / "DMI")
    assert capture.this_machine(sysfs, tmp_path / "none") == from_table


def test_a_damaged_table_leaves_sysfs(sysfs: Path, tmp_path: Path):
    (tmp_path / "DMI").write_bytes(b"\1\2\3\4")
    assert capture.this_machine(sysfs, tmp_path / "DMI").product == "20ARS19C0C"


def test_a_string_that_the_kernel_does_not_show_is_empty(sysfs: Path):
    (sysfs / "product_family").unlink()
    (sysfs / "bios_release").unlink()
    machine = capture.this_machine(sysfs, sysfs / "none")
    assert (machine.family, machine.bios_major) == ("", "")


def test_blanks_in_sysfs_are_part_of_strings(sysfs: Path):
    (sysfs / "product_sku").write_text(" 7 \n")
    assert capture.this_machine(sysfs, sysfs / "none").sku == " 7 "


@pytest.mark.parametrize("release", ["x", "1", "1.x", "\uff11.\uff12", ""])
def test_a_release_that_is_none_is_left_out(sysfs: Path, release: str):
    (sysfs / "bios_release").write_text(release + "\n")
    machine = capture.this_machine(sysfs, sysfs / "none")
    assert (machine.bios_major, machine.bios_minor) == ("", "")


def test_a_machine_without_smbios_is_an_error_that_tells_what_to_do(tmp_path: Path):
    with pytest.raises(FukiError, match="no SMBIOS strings") as caught:
        capture.this_machine(tmp_path, tmp_path / "none")
    assert "machine file" in (caught.value.hint or "")


def test_a_string_that_is_not_utf_8_is_the_same_from_the_table_and_from_sysfs(tmp_path: Path):
    (tmp_path / "sys_vendor").write_bytes(b"Acme\n")
    (tmp_path / "product_name").write_bytes(b"Caf\xe9 Box\n")
    (tmp_path / "DMI").write_bytes(structure(1, bytes([1, 2, 0, 0]) + bytes(19), b"Acme", b"Caf\xe9 Box") + end())
    from_sysfs = capture.this_machine(tmp_path, tmp_path / "none")
    from_table = capture.this_machine(tmp_path / "none", tmp_path / "DMI")
    assert stub_chids(from_sysfs) == stub_chids(from_table)
    # The stub skips a bad sequence in the length that its first byte claims (booted: tests/boot/test_odd_strings.py).
    assert stub_chids(from_sysfs) == stub_chids(Machine(name="seen", manufacturer="Acme", product="Cafox"))
    assert chid(from_sysfs, 11, Dialect.MICROSOFT) is None
    assert chid(from_sysfs, 9, Dialect.MICROSOFT) is None
    assert chid(from_sysfs, 14, Dialect.MICROSOFT) is not None


def test_a_machine_has_a_readable_name_whatever_its_file_is_called():
    machine = capture.decode(dump(table()), "caf\udce9")
    assert machine.name == r"caf\xe9"


def test_text_may_quote_strings_that_are_not_utf_8():
    machine = capture.decode(b"System Information\n\tManufacturer: Acme\n\tProduct Name: Caf\xe9 Box\n", "x")
    assert stub_chids(machine) == stub_chids(Machine(name="seen", manufacturer="Acme", product="Cafox"))
