"""What other people's tools make of images that start with the hand-over program."""

import json
import subprocess
from pathlib import Path

import pytest
from fuki_hand_over.programs import VM_LAUNCH_UPDATE

from fuki_build.formats.uki.hand_over_program import TABLE_SIZE
from fuki_build.testing import recipe, secure_boot, succeed

TABLE = """
[fuki.hand-over]
interface = "vm-launch-update"
lasting = true
on-failure = "power-off"
"""


def image_recipe(more: str = "") -> str:
    tables = """
[[fuki.firmware]]
source = "directory"
path = "firmware/ovmf-amdsev"
hwids = "machines/a.json"
[[fuki.profile]]
id = "debug"
cmdline = "systemd.debug_shell=1"
"""
    return recipe(
        tables + more,
        name="image",
        plugins=["hand-over"],
        silence=["vm-launch-update-payload"],  # a plain image: what the device takes is not what this is about
        initrd=["early.img"],
        os_release="os-release",
        cmdline="root=LABEL=root ro",
    )


@pytest.fixture(scope="module")
def images(tmp_path_factory, lay_out, build) -> tuple[Path, Path]:
    """One image without the program, and one with it."""
    paths = []
    for name, text in (("without", image_recipe()), ("with", image_recipe(TABLE))):
        directory = lay_out(tmp_path_factory.mktemp(name))
        (directory / "fuki.toml").write_text(text)
        paths.append(build(directory))
    return paths[0], paths[1]


def test_bootctl_tells_the_same_of_both(images, bootctl):
    without, image = images
    assert bootctl("kernel-identify", image).strip() == "uki"
    assert bootctl("kernel-inspect", image) == bootctl("kernel-inspect", without)


def test_ukify_tells_one_section_more(images, ukify):
    without, image = (json.loads(ukify("inspect", path, "--all", "--json=short")) for path in images)
    assert image.pop(".fuki")["size"] == VM_LAUNCH_UPDATE.stat().st_size
    assert image == without


def test_headers_differ_in_what_the_program_needs(images, pe):
    """pefile reads both; nothing else of the image has changed."""
    without, image = (pe(path) for path in images)
    (program,) = [section for section in image.sections if section.name == ".fuki"]
    assert program.flags == 0x60000020
    others = [section for section in image.sections if section is not program]
    assert [(s.name, s.sha256, s.flags) for s in others] == [(s.name, s.sha256, s.flags) for s in without.sections]

    before, after = without.headers, image.headers
    assert after["AddressOfEntryPoint"] == program.address + int.from_bytes(image.content(".fuki")[12:16], "little")
    assert after["SizeOfCode"] == before["SizeOfCode"] + program.raw_size
    assert after["SizeOfInitializedData"] == before["SizeOfInitializedData"]
    assert after["SizeOfImage"] >= program.address + program.virtual_size
    changed = {key for key in after if after[key] != before[key]}
    assert changed == {"AddressOfEntryPoint", "SizeOfCode", "SizeOfImage", "NumberOfSections"}


def test_the_table_tells_the_stubs_entry_and_the_options(images, pe):
    without, image = (pe(path) for path in images)
    table = image.content(".fuki")[:TABLE_SIZE]
    assert int.from_bytes(table[16:20], "little") == without.headers["AddressOfEntryPoint"]
    assert int.from_bytes(table[20:24], "little") == 1 | 4
    assert image.content(".fuki")[TABLE_SIZE:] == VM_LAUNCH_UPDATE.read_bytes()[TABLE_SIZE:]


def test_shim_and_strict_firmware_would_start_it(images, pe):
    """shim 16.1: the entry in exactly one readable section, and none both writable and executable."""
    image = pe(images[1])
    entry = image.headers["AddressOfEntryPoint"]
    holding = [s for s in image.sections if s.address <= entry < s.address + s.virtual_size and s.flags & 0x40000000]
    assert [section.name for section in holding] == [".fuki"]
    assert not [section.name for section in image.sections if section.flags & 0xA0000000 == 0xA0000000]


def test_signatures_cover_it(images, tmp_path):
    identity = secure_boot.make_identity("db")
    secure_boot.write_key(tmp_path / "db.key", identity.key)
    secure_boot.write_certificates(tmp_path / "db.crt", identity.certificate)
    signed = tmp_path / "signed.efi"
    succeed(tmp_path, "sign", images[1], "--key", "db.key", "--certificate", "db.crt", "-o", signed)

    verifiers = (
        ["sbverify", "--cert", "db.crt", "signed.efi"],
        ["osslsigncode", "verify", "-CAfile", "db.crt", "-in", "signed.efi"],
    )

    for command in verifiers:
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)

    changed = bytearray(signed.read_bytes())
    changed[changed.index(b"FUKIHAND") + 1000] ^= 1
    signed.write_bytes(changed)

    for command in verifiers:
        assert subprocess.run(command, cwd=tmp_path, check=False, capture_output=True).returncode


def test_pcr_11_is_predicted_the_same_and_pcr_4_is_not(images):
    without, image = (json.loads(succeed(path.parent, "measure", path, "--json").out)["predictions"] for path in images)
    assert len(without) == len(image) > 1
    for before, after in zip(without, image, strict=True):
        registers = [{r["pcr"]: r["values"] for r in prediction["registers"]} for prediction in (before, after)]
        assert registers[0][11] == registers[1][11]
        assert registers[0][4] != registers[1][4]
