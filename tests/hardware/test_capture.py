from pathlib import Path

import pytest

from fuki_build.errors import FormatError, FukiError
from fuki_build.hardware import capture
from fuki_build.hardware.chid import Dialect, chid
from fuki_build.hardware.machine import Machine, encode_file
from tests.support.smbios import T440S, dump, table

LAPTOP = Machine("laptop", **T440S, bios_major="02", bios_minor="19", enclosure_type="a")

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
