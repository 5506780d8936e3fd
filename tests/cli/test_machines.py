"""`fuki machine`, `fuki match` and `fuki hwids` on a built image."""

import json
import re
from pathlib import Path

import pytest

from tests.support.smbios import end, structure

Q35 = "817fca52-ae83-52f5-8642-9497f79d49d0"
"""The CHID of type 9 of QEMU's q35, from the table of what clouds put into SMBIOS."""

MACHINE = """\
[machine]
name = "my q35"
manufacturer = "QEMU"
product = "Standard PC (Q35 + ICH9, 2009)"
"""


@pytest.fixture
def image(workshop: Path, part, fuki) -> Path:
    for name in ("one", "two"):
        (workshop / name).mkdir()
        (workshop / name / "OVMF.fd").symlink_to(part("ovmf-generic"))
    with (workshop / "fuki.toml").open("a") as recipe:
        for name, machine in (("one", "q35"), ("two", "i440fx")):
            recipe.write(f'[[fuki.firmware]]\nsource = "directory"\npath = "{name}"\nplatforms = ["qemu:{machine}"]\n')
    (workshop / "q35.toml").write_text(MACHINE)
    fuki("build", "-o", "image.efi")
    return workshop / "image.efi"


def test_a_machine_is_shown_with_its_ids_in_both_dialects(fuki, workshop):
    (workshop / "q35.toml").write_text(MACHINE)
    shown = json.loads(fuki("machine", "show", "q35.toml", "--json").stdout)
    (row,) = [row for row in shown["chids"] if row["type"] == 9]
    assert (row["stub"], row["microsoft"]) == (Q35, Q35)


def test_a_machine_whose_product_is_not_utf_8_is_shown_saved_and_hashed_as_the_stub_does(fuki, workshop):
    for name, product in (("raw", b"Caf\xe9 Box"), ("seen", b"Cafox")):
        strings = structure(1, bytes([1, 2, 0, 0]) + bytes(19), b"Acme", product)
        (workshop / f"{name}.dmi").write_bytes(strings + end())
    fuki("machine", "show", "raw.dmi", "--save", "raw.toml")
    raw, saved, seen = (
        json.loads(fuki("machine", "show", name, "--json").stdout) for name in ("raw.dmi", "raw.toml", "seen.dmi")
    )
    assert raw["strings"] == {"manufacturer": "Acme", "product": r"Caf\xe9 Box"}
    assert raw == saved
    assert [row["stub"] for row in raw["chids"]] == [row["stub"] for row in seen["chids"]]
    assert r"Caf\xe9 Box" in fuki("machine", "show", "raw.dmi").stdout


def test_a_saved_machine_is_the_same_machine_under_its_new_name(fuki, workshop):
    (workshop / "q35.toml").write_text(MACHINE)
    fuki("machine", "show", "q35.toml", "--save", "copy.toml", "--name", "another")
    before, after = (json.loads(fuki("machine", "show", f, "--json").stdout) for f in ("q35.toml", "copy.toml"))
    assert after == {**before, "name": "another"}


def test_a_damaged_machine_file_is_refused_with_its_name(fuki, workshop):
    (workshop / "bad.toml").write_text("[machine]\nmanufaktur = 'QEMU'\n")
    error = fuki("machine", "show", "bad.toml", code=1).stderr
    assert error.startswith("fuki: error: bad.toml: unknown key 'manufaktur' in a machine")
    assert "did you mean 'manufacturer'?" in error


def test_a_machine_is_matched_through_its_id(image, fuki):
    (row,) = json.loads(fuki("match", image, "--machine", "q35.toml", "--json").stdout)["matches"]
    assert (row["firmware"]["fwid"], row["firmware"]["type"], row["firmware"]["chid"]) == ("one", 9, Q35)


def test_what_is_measured_is_listed_on_demand(image, fuki):
    assert "PCR 11 gets" not in fuki("match", image, "--machine", "q35.toml").stdout
    shown = fuki("match", image, "--machine", "q35.toml", "--measured").stdout
    # The order of the stub's enum, not of the file; one .efifw of the two.
    assert "my q35: PCR 11 gets .linux .osrel .cmdline .initrd .uname .sbat .hwids .efifw\n" in shown


@pytest.mark.parametrize("expected", ["q35.toml=two", "q35.toml=", "qemu:i440fx=one"])
def test_an_expectation_that_does_not_hold_exits_with_3(image, fuki, expected):
    done = fuki("match", image, "--expect", expected, code=3)
    assert "expected is" in done.stderr


def test_expectations_that_hold_are_fine(image, fuki):
    fuki("match", image, "--expect", "q35.toml=one", "--expect", "qemu:i440fx=two")


def test_the_expectations_of_a_recipe_are_held_against_a_finished_image(image, fuki, workshop):
    recipe = (workshop / "fuki.toml").read_text()
    (workshop / "right.toml").write_text(recipe + '[[fuki.expect]]\nmachine = "q35.toml"\nfirmware = "one"\n')
    (workshop / "wrong.toml").write_text(recipe + '[[fuki.expect]]\nmachine = "q35.toml"\nfirmware = "two"\n')
    fuki("match", image, "--recipe", "right.toml")
    fuki("match", image, "--recipe", "wrong.toml", code=3)


def test_an_exported_table_comes_back_as_the_same_table(image, fuki, workshop):
    fuki("hwids", "export", image, "json")
    recipe = (workshop / "fuki.toml").read_text().partition("[[fuki.firmware]]")[0]
    for name in ("one", "two"):
        recipe += f'[[fuki.firmware]]\nsource = "directory"\npath = "{name}"\n'
    (workshop / "again.toml").write_text(recipe.replace("[[fuki", 'hwids = "json"\n[[fuki', 1))
    fuki("build", "again.toml", "-o", "again.efi")
    assert fuki("hwids", "diff", image, "again.efi").stdout == ""
    assert sorted(json.loads(p.read_text())["fwid"] for p in (workshop / "json").iterdir()) == ["one", "two"]


def test_a_difference_between_tables_is_shown_and_exits_with_3(image, fuki, workshop):
    recipe = (workshop / "fuki.toml").read_text().replace("qemu:q35", "qemu:x").replace("qemu:i440fx", "qemu:q35")
    (workshop / "swapped.toml").write_text(recipe.replace("qemu:x", "qemu:i440fx"))
    fuki("build", "swapped.toml", "-o", "swapped.efi")
    shown = fuki("hwids", "diff", image, "swapped.efi", code=3).stdout
    assert f"- uefi-fw  QEMU q35  one  {Q35}" in shown.splitlines()
    assert f"+ uefi-fw  QEMU q35  two  {Q35}" in shown.splitlines()


def test_an_image_without_a_table_has_nothing_to_decode(fuki):
    fuki("build", "-o", "plain.efi")
    assert "plain.efi: there is no .hwids" in fuki("hwids", "decode", "plain.efi", code=1).stderr


def test_a_stub_without_a_version_number_is_taken_for_the_newest_with_a_warning(image, fuki, workshop):
    magic = re.search(rb"LoaderInfo: systemd-stub (\S+) ####", image.read_bytes())
    assert magic
    unnumbered = re.sub(rb"\d", b"x", magic[0])
    (workshop / "unknown.efi").write_bytes(image.read_bytes().replace(magic[0], unnumbered, 1))
    fuki("match", "unknown.efi", "--expect", "q35.toml=one")
    assert "[stub-unknown]" in fuki("check", "unknown.efi").stderr
    assert "[stub-unknown]" not in fuki("check", image).stderr


def test_an_image_without_hardware_ids_is_matched_with_a_word(fuki, workshop):
    (workshop / "q35.toml").write_text(MACHINE)
    fuki("build", "-o", "plain.efi")
    done = fuki("match", "plain.efi", "--machine", "q35.toml")
    assert "the image has no hardware ids" in done.stderr


def test_an_empty_table_of_hardware_ids_says_so(fuki, workshop):
    (workshop / "none.hwids").write_bytes(bytes(28))
    assert fuki("hwids", "decode", "none.hwids").stdout == "the table has no hardware ids\n"
    assert "no hardware ids to export" in fuki("hwids", "export", "none.hwids", "out", code=1).stderr
    assert not (workshop / "out").exists()


def test_a_machine_that_is_known_by_its_ids_is_shown_without_an_empty_table(fuki, workshop):
    (workshop / "ids.toml").write_text(f'[machine]\nchids = {{ 9 = "{Q35}" }}\n')
    assert "known by its hardware ids only" in fuki("machine", "show", "ids.toml").stdout
