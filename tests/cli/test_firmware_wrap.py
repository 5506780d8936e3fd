"""`fuki firmware wrap`: what it writes and tells, and what it refuses."""

import json
from pathlib import Path

import pytest

from fuki_build.testing import invoke, refused, succeed

BUILDS = ["ovmf-generic", "ovmf-amdsev", "ovmf-inteltdx", "ovmf-2025", "ovmf-2022"]


@pytest.fixture
def firmware_folder(tmp_path: Path, part) -> Path:
    (tmp_path / "OVMF.fd").write_bytes(part("ovmf-generic").read_bytes())
    (tmp_path / "uki.efi").write_bytes(part("stub-x64").read_bytes())
    return tmp_path


def wrap(*options: object) -> tuple[object, ...]:
    return ("firmware", "wrap", "OVMF.fd", "-o", "guest.igvm", *options)


@pytest.mark.parametrize("build", BUILDS)
def test_what_was_wrapped_is_shown_as_what_it_is(tmp_path: Path, part, build: str):
    succeed(tmp_path, "firmware", "wrap", part(build), "-o", "guest.igvm")
    (view,) = json.loads(succeed(tmp_path, "firmware", "show", "guest.igvm", "--json").out)["firmware"]
    assert (view["kind"], view["flaw"], view["igvm"]["version"]) == ("IGVM", None, 1)
    assert [platform["platform"] for platform in view["igvm"]["platforms"]] == ["NATIVE", "SEV_SNP"]


def test_json_tells_of_the_file_that_was_written(firmware_folder: Path):
    written = json.loads(succeed(firmware_folder, *wrap("--json")).out)
    assert written == json.loads(succeed(firmware_folder, "firmware", "show", "guest.igvm", "--json").out)


def test_platforms_are_those_that_were_asked_for_once_each(firmware_folder: Path):
    succeed(firmware_folder, *wrap("--platform", "sev-snp", "--platform", "sev-snp"))
    (view,) = json.loads(succeed(firmware_folder, "firmware", "show", "guest.igvm", "--json").out)["firmware"]
    assert [platform["platform"] for platform in view["igvm"]["platforms"]] == ["SEV_SNP"]


def test_two_files_of_one_firmware_are_alike(firmware_folder: Path):
    succeed(firmware_folder, *wrap("--data", "kernel=uki.efi"))
    first = (firmware_folder / "guest.igvm").read_bytes()
    succeed(firmware_folder, *wrap("--data", "kernel=uki.efi"))
    assert (firmware_folder / "guest.igvm").read_bytes() == first


def test_what_the_firmware_lacks_is_told(tmp_path: Path, part):
    outcome = succeed(tmp_path, "firmware", "wrap", part("ovmf-2022"), "-o", "guest.igvm")
    assert "[igvm-no-metadata]" in outcome.err


def test_firmware_that_would_hang_is_refused(tmp_path: Path, part):
    outcome = invoke(tmp_path, "firmware", "wrap", part("ovmf-secboot"), "-o", "guest.igvm")
    assert outcome.code == 1
    assert "[igvm-needs-flash]" in outcome.err
    assert not (tmp_path / "guest.igvm").exists()
    succeed(tmp_path, "firmware", "wrap", part("ovmf-secboot"), "-o", "guest.igvm", "--platform", "sev-snp")


@pytest.mark.parametrize(
    "arguments",
    [
        ("firmware", "wrap", "OVMF.fd", "-o", "OVMF.fd"),
        ("firmware", "wrap", "OVMF.fd", "-o", "uki.efi", "--data", "kernel=uki.efi"),
        ("firmware", "wrap", "OVMF.fd", "-o", "link", "--data", "kernel=uki.efi"),
        ("firmware", "wrap", "OVMF.fd", "-o", "guest.id-auth", "--id-block", "guest"),
    ],
)
def test_nothing_that_was_read_is_written_over(firmware_folder: Path, arguments: tuple[str, ...]):
    (firmware_folder / "link").hardlink_to(firmware_folder / "uki.efi")
    (firmware_folder / "guest.id-block").write_bytes(
        bytes(80) + (1).to_bytes(8, "little") + (0x30000).to_bytes(8, "little")
    )
    (firmware_folder / "guest.id-auth").write_bytes((1).to_bytes(4, "little") + bytes(4092))
    before = {path.name: path.read_bytes() for path in firmware_folder.iterdir()}
    assert "would replace the input" in refused(firmware_folder, *arguments)
    assert {path.name: path.read_bytes() for path in firmware_folder.iterdir()} == before


@pytest.mark.parametrize(
    ("options", "words", "code"),
    [
        (("--policy", "many"), "no number", 2),
        (("--policy", "-1"), "--policy", 2),
        (("--cpu-signature", "0x100000000"), "--cpu-signature", 2),
        (("--data", "kernel"), "KIND=FILE", 2),
        (("--data", "linux=uki.efi"), "kernel", 2),
        (("--data", "kernel="), "KIND=FILE", 2),
        (("--data", "kernel=none.efi"), "none.efi", 2),
        (("--data", "kernel=OVMF.fd"), "--data: OVMF.fd", 2),
        (("--data", "PK=OVMF.fd"), "KEK, db, dbx is missing", 2),
        (("--data", "kernel=uki.efi", "--data-address", "0x1000"), "overwrite", 2),
        (("--id-block", "none"), "none.id-block", 2),
        (("--platform", "tdx"), "tdx", 2),
    ],
)
def test_a_mistake_names_the_option(firmware_folder: Path, options: tuple[str, ...], words: str, code: int):
    outcome = invoke(firmware_folder, *wrap(*options))
    assert outcome.code == code, outcome
    assert words in outcome.err
    assert "Traceback" not in outcome.err
    assert not (firmware_folder / "guest.igvm").exists()


def test_a_file_that_is_no_ovmf_is_refused(firmware_folder: Path):
    assert "GUID table" in refused(firmware_folder, "firmware", "wrap", "uki.efi", "-o", "guest.igvm")
    assert "none.fd" in refused(firmware_folder, "firmware", "wrap", "none.fd", "-o", "guest.igvm", code=1)
