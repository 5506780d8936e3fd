"""What `fuki inspect` says of images that ukify made, 262.1 and 257, against what ukify says and what went in."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import parts
import pytest

# The order in which ukify puts them; it names the source of each section's bytes.
SOURCES = {
    ".osrel": "os-release",
    ".cmdline": "cmdline.txt",
    ".dtb": "machine.dtb",
    ".splash": "splash.bmp",
    ".pcrpkey": "pcr.pem",
    ".linux": "vmlinuz",
    ".initrd": "odd.img",
    ".ucode": "ucode.img",
}
EVERY_OPTION = [
    "--stub=stub",
    "--linux=vmlinuz",
    "--initrd=odd.img",
    "--cmdline=@cmdline.txt",
    "--os-release=@os-release",
    "--microcode=ucode.img",
    "--splash=splash.bmp",
    "--devicetree=machine.dtb",
    "--pcrpkey=pcr.pem",
    "--uname=6.0-given",
]
FIRMWARE = ["--hwids=machines", "--efifw=firmware/ovmf-generic", "--efifw=firmware/ovmf-amdsev"]
FIRMWARE_PROFILE = ["--profile=ID=other\nTITLE=Another\n", "--efifw=firmware/ovmf-generic", "--hwids=machines"]


def extract(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[bytes]:
    words = [sys.executable, "-m", "fuki_build", "inspect", "--extract", *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, check=False)
    assert done.returncode == code, done.stderr.decode()
    return done


@pytest.fixture(scope="module")
def images(tmp_path_factory, lay_out, ukify) -> Path:
    """A directory with images that ukify made of the input beside them."""
    directory = lay_out(tmp_path_factory.mktemp("images"))
    ukify("build", "--stub=addon-stub", *FIRMWARE_PROFILE, "--output=other.profile", cwd=directory)
    profile = "--join-profile=other.profile"
    ukify("build", *EVERY_OPTION, *FIRMWARE, profile, "--output=262.efi", cwd=directory)

    old = {"release": "ukify-257", "cwd": directory}
    arguments = [*EVERY_OPTION, "--stub=stub-257"]
    devicetrees = ["--devicetree-auto=first.dtb", "--devicetree-auto=second.dtb", "--hwids=hwids"]
    words = ["--cmdline=quiet", "--profile=ID=quiet\n", "--output=quiet.profile"]
    ukify("build", "--stub=addon-stub", *words, **old)
    ukify("build", *arguments, *devicetrees, "--join-profile=quiet.profile", "--output=257.efi", **old)
    ukify("build", *arguments, "--output=257-plain.efi", **old)
    return directory


def as_ukify_tells(view: Mapping[str, Any]) -> dict[str, Any]:
    """Our sections in the shape of ukify's: by name, profiles apart, and those that may repeat as lists."""
    base: dict[str, Any] = {}
    profiles: list[dict[str, Any]] = [{} for _ in view["profiles"]]
    for section in view["sections"]:
        place = base if section["profile"] is None else profiles[section["profile"]]
        entry = {"size": section["size"], "sha256": section["sha256"]}
        if section["name"] in (".dtbauto", ".efifw"):
            place.setdefault(section["name"], []).append(entry)
        else:
            assert section["name"] not in place
            place[section["name"]] = entry
    return {**base, "_profiles": profiles} if profiles else base


def without_texts(told: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(told, list):
        return [without_texts(item) for item in told]
    return {key: without_texts(v) if isinstance(v, dict | list) else v for key, v in told.items() if key != "text"}


@pytest.mark.parametrize("name", ["262.efi", "257.efi", "257-plain.efi"])
def test_sizes_and_digests_of_all_sections_are_those_that_ukify_tells(images, ukify, name, inspect):
    told = json.loads(ukify("inspect", images / name, "--all", "--json=short"))
    ours = as_ukify_tells(inspect("--digests", images / name))
    assert ours == without_texts(told)
    assert list(ours) == list(told)


def test_ukify_257_tells_the_same_of_an_image_of_its_own(images, ukify, inspect):
    told = json.loads(ukify("inspect", images / "257-plain.efi", "--all", "--json=short", release="ukify-257"))
    assert as_ukify_tells(inspect("--digests", images / "257-plain.efi")) == without_texts(told)


@pytest.mark.parametrize(("name", "version"), [("262.efi", (262, 1)), ("257.efi", (257,))])
def test_the_stub_s_version_is_told(images, name, version, inspect):
    stub = inspect(images / name)["stub"]
    numbers = tuple(int(n) for n in stub["version"].partition("-")[0].split(".")[: len(version)])
    assert (stub["program"], numbers) == ("systemd-stub", version)


def test_profiles_of_an_image_by_ukify_are_told_with_id_and_title(images, inspect):
    assert inspect(images / "262.efi")["profiles"] == [
        {"number": 0, "id": "main", "title": None},
        {"number": 1, "id": "other", "title": "Another"},
    ]


def test_firmware_of_an_image_by_ukify_is_told_with_what_it_is_and_who_selects_it(images, inspect):
    found = inspect(images / "262.efi")["firmware"]
    # Joining loses the profile's .hwids, so nothing selects the profile's firmware.
    assert [(f["profile"], f["fwid"], f["kind"], f["size"], len(f["chids"])) for f in found] == [
        (None, "ovmf-generic", "OVMF", parts.get("ovmf-generic").stat().st_size, 2),
        (None, "ovmf-amdsev", "OVMF", parts.get("ovmf-amdsev").stat().st_size, 2),
        (1, "ovmf-generic", "OVMF", parts.get("ovmf-generic").stat().st_size, 0),
    ]
    assert all(firmware["flaw"] is None for firmware in found)


def machines_of(directory: Path) -> set[tuple[str, str, str, frozenset[UUID]]]:
    """What systemd's JSON files say, those of one machine as one."""
    found: dict[tuple[str, str, str], set[UUID]] = {}
    for path in directory.glob("*.json"):
        data = json.loads(path.read_text())
        key = data["type"], data["name"], data.get("compatible") or data["fwid"]
        found.setdefault(key, set()).update(UUID(text) for text in data["hwids"])
    return {(*key, frozenset(ids)) for key, ids in found.items()}


@pytest.mark.parametrize(("name", "source"), [("262.efi", "machines"), ("257.efi", "hwids")])
def test_the_hardware_ids_of_an_image_by_ukify_are_those_of_the_json_files(images, name, source, inspect):
    devices = inspect(images / name)["devices"]
    ours = {(d["type"], d["name"], d["fwid"] or d["compatible"], frozenset(map(UUID, d["chids"]))) for d in devices}
    assert ours == machines_of(images / source)
    assert len(devices) == len(ours)


def test_the_sbat_lines_of_an_image_by_ukify_are_told(images, ukify, inspect):
    told = json.loads(ukify("inspect", images / "262.efi", "--json=short"))[".sbat"]["text"]
    assert inspect(images / "262.efi")["sbat"] == told.splitlines()


@pytest.mark.parametrize("name", SOURCES)
def test_an_extracted_section_is_the_file_that_ukify_put_in(images, tmp_path, name):
    extract(name, images / "262.efi", "-o", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == (images / SOURCES[name]).read_bytes()


def test_an_extracted_section_may_go_to_standard_output(images):
    assert extract(".uname", images / "262.efi", "-o", "-").stdout == b"6.0-given"


def test_a_profile_s_section_is_extracted_by_number_and_by_id(images):
    for profile in ("1", "quiet"):
        assert extract(f"cmdline@{profile}", images / "257.efi", "-o", "-").stdout == b"quiet"
    base = (images / "cmdline.txt").read_bytes()
    assert extract(".cmdline", images / "257.efi", "-o", "-").stdout == base


@pytest.mark.parametrize("name", ["ovmf-generic", "ovmf-amdsev"])
def test_extracting_an_efifw_by_its_fwid_gives_the_firmware(images, tmp_path, name):
    extract(f".efifw:{name}", images / "262.efi", "-o", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == parts.get(name).read_bytes()


def test_extracting_one_of_several_without_saying_which_is_refused_with_their_names(images, tmp_path):
    done = extract(".efifw", images / "262.efi", "-o", tmp_path / "out", code=2)
    assert b".efifw:ovmf-generic" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def broken(images, tool) -> Path:
    """An image by a ukify that writes the magic as systemd 262 did: Python's format `p`, one zero byte."""
    source = parts.get("ukify").read_text()
    line = "struct.pack('<I', FWHEADERMAGIC)"
    assert source.count(line) == 1
    program = images / "ukify-262.py"
    program.write_text(source.replace(line, r"struct.pack('<p', b'\xfe\xed\xde\xad')"))
    tool(sys.executable, program, "build", *EVERY_OPTION, *FIRMWARE, "--output=broken.efi", cwd=images)
    return images / "broken.efi"


def test_the_firmware_header_of_13_bytes_is_recognised_in_an_image(broken, inspect):
    found = inspect(broken)["firmware"]
    assert [firmware["kind"] for firmware in found] == ["broken", "broken"]
    assert all("13 bytes" in firmware["flaw"] for firmware in found)


def test_a_broken_firmware_header_does_not_keep_the_other_sections_from_being_told(broken, ukify, inspect):
    told = json.loads(ukify("inspect", broken, "--all", "--json=short"))
    assert as_ukify_tells(inspect("--digests", broken)) == without_texts(told)
