"""`fuki firmware show`: what firmware, images and IGVM files have and lack."""

import json
from hashlib import sha256
from pathlib import Path

import pytest

from fuki_build.testing import refused, succeed


def test_firmware_is_shown_with_what_it_has_and_lacks(tmp_path: Path, part):
    shown = succeed(tmp_path, "firmware", "show", part("ovmf-inteltdx")).out
    for text in ("SEV metadata", "BFV (measured) 0xffc84000", "kernel-hashes page: a kernel", "FFS 2"):
        assert text in shown


def test_firmware_is_shown_as_json(tmp_path: Path, firmware: Path):
    (view,) = json.loads(succeed(tmp_path, "firmware", "show", firmware, "--json").out)["firmware"]
    assert (view["kind"], view["sha256"]) == ("OVMF", sha256(firmware.read_bytes()).hexdigest())
    assert [row["kind"] for row in view["tdx"][:2]] == ["BFV", "CFV"]
    assert [(lack["technology"], "Secure Boot keys" in lack["message"]) for lack in view["missing"]] == [("IGVM", True)]


def test_what_firmware_lacks_for_an_igvm_file_is_shown(tmp_path: Path, part):
    (view,) = json.loads(succeed(tmp_path, "firmware", "show", part("ovmf-secboot"), "--json").out)["firmware"]
    assert ["SMM" in lack["message"] for lack in view["missing"]] == [True]


def test_the_firmware_of_an_image_is_shown(image: Path):
    shown = succeed(image.parent, "firmware", "show", image).out
    assert shown.count("Table") == 2
    assert refused(image.parent, "firmware", "show", image, "--firmware", "nope").count("both, tdx") == 1


def test_an_igvm_file_is_shown(tmp_path: Path):
    from fuki_build.testing import igvm

    headers = [igvm.platform(1, igvm.SEV_SNP), igvm.page(0x1000, 0), igvm.page(0x2000, 0)]
    (tmp_path / "guest.igvm").write_bytes(igvm.build(headers))
    shown = succeed(tmp_path, "firmware", "show", "guest.igvm").out
    assert "IGVM version 1 for X64" in shown
    assert "2 PageData" in shown
    assert "Intel TDX: the file does not support this platform" in shown


@pytest.mark.parametrize("data", [b"", b"IGVM" + bytes(60), bytes(4096), b"\xff" * 100])
def test_what_is_no_firmware_is_shown_as_unknown_or_broken(tmp_path: Path, data: bytes):
    (tmp_path / "file").write_bytes(data)
    shown = succeed(tmp_path, "firmware", "show", "file").out
    assert "unknown" in shown or "flaw:" in shown


def test_a_huge_file_is_refused_without_being_read(tmp_path: Path):
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 40)
    assert "more than" in refused(tmp_path, "firmware", "show", "huge", code=1)
