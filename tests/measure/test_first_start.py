"""What an image measures that hands its firmware over, before the reset."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import parts
import pytest

from fuki_build.testing import succeed
from fuki_build.testing.launch import peer_digest
from tests.support.bootable import build
from tests.support.rich import authenticode

TABLE = '[fuki.hand-over]\ninterface = "vm-launch-update"\n'


def image(directory: Path, table: str, wrapping: str = '{ platforms = ["native"] }') -> Path:
    firmware = parts.get("ovmf-generic")
    text = f"""{table}
[[fuki.firmware]]
source = "file"
id = "own"
path = "{firmware}"
platforms = ["qemu"]
igvm = {wrapping}
[[fuki.output]]
format = "uki"
[[fuki.output]]
format = "predictions"
template = "predictions.md.j2"
path = "predictions.md"
"""
    return build(directory, text, plugins=("hand-over",))


@pytest.fixture(scope="module")
def handing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return image(tmp_path_factory.mktemp("handing"), TABLE)


def cases(path: Path, *options: object) -> list[dict[str, Any]]:
    loads = ("--plugin", "hand-over")
    return json.loads(succeed(path.parent, *loads, "measure", path, "--json", *options).out)["predictions"]


def extend(register: bytes, event: bytes) -> bytes:
    return sha256(register + sha256(event).digest()).digest()


def test_the_hosts_firmware_measures_the_image_and_nothing_else(handing: Path):
    """TCG, PC Client Platform Firmware Profile 1.06, 10.4: the announcement, a separator, the image."""
    value = extend(extend(bytes(32), b"Calling EFI Application from Boot Option"), bytes(4))
    value = sha256(value + bytes.fromhex(authenticode(handing))).digest()
    (case,) = cases(handing, "--platform", "qemu:q35")
    assert {row["pcr"]: row["values"]["sha256"] for row in case["first-start"]} == {
        4: value.hex(),
        **dict.fromkeys((9, 11, 12), bytes(32).hex()),
    }


def test_where_nothing_is_selected_there_is_one_start(handing: Path):
    assert {case["fwid"]: bool(case["first-start"]) for case in cases(handing)} == {None: False, "own": True}


def test_only_the_registers_that_are_asked_for_are_told(handing: Path):
    (case,) = cases(handing, "--platform", "qemu:q35", "--pcr", 11)
    assert [row["pcr"] for row in case["first-start"]] == [11]


def test_text_and_report_tell_of_the_first_start(handing: Path):
    loads = ("--plugin", "hand-over")
    text = succeed(handing.parent, *loads, "measure", handing).out
    assert text.count("before the hand-over, on the host's firmware") == 1
    succeed(handing.parent, *loads, "report", handing, "-o", "report.html")
    assert (handing.parent / "report.html").read_text().count("Before the hand-over, on the host's firmware") == 1
    assert (handing.parent / "predictions.md").read_text().count("Before the hand-over") == 1


def test_without_the_program_there_is_one_start(tmp_path: Path):
    path = image(tmp_path, "")
    assert all(not case["first-start"] for case in cases(path))
    assert "hand-over" not in succeed(tmp_path, "measure", path).out


def test_match_tells_that_firmware_is_handed_over(handing: Path, tmp_path: Path):
    def matches(path: Path) -> list[bool]:
        printed = json.loads(succeed(path.parent, "match", path, "--platform", "qemu", "--json").out)
        return [match["handed-over"] for match in printed["matches"]]

    without = image(tmp_path, "")

    assert set(matches(handing)) == {True}
    assert set(matches(without)) == {False}
    assert "second start" in succeed(handing.parent, "match", handing, "--platform", "qemu").out
    assert "second start" not in succeed(without.parent, "match", without, "--platform", "qemu").out


def test_launches_are_told_of_the_second_start(tmp_path: Path):
    """Wrapped firmware has the launch digest of the bare one with one vCPU, so that sev-snp-measure knows it."""
    path = image(tmp_path, TABLE, "{ cpu-signature = 0xa00f11 }")
    expected = peer_digest("sev-snp", parts.get("ovmf-generic"), "qemu", 1, "EPYC-Milan", 1)

    loads = ("--plugin", "hand-over", "--plugin", "coco")
    succeed(tmp_path, *loads, "report", path, "-o", "report.html")
    page = (tmp_path / "report.html").read_text()
    assert page.count(expected) == 1
    assert "at the second start" in page
    succeed(tmp_path, "--plugin", "hand-over", "report", path, "-o", "report.html")
    assert expected not in (tmp_path / "report.html").read_text()

    told = succeed(tmp_path, *loads, "launch", path, "--technology", "sev-snp").out
    assert expected in told
    assert "launches of its second start" in told


def test_launches_of_an_image_without_the_program_are_of_its_only_start(tmp_path: Path):
    path = image(tmp_path, "", "{}")
    loads = ("--plugin", "coco")
    assert "second start" not in succeed(tmp_path, *loads, "launch", path, "--technology", "sev-snp").out
    succeed(tmp_path, *loads, "report", path, "-o", "report.html")
    assert "second start" not in (tmp_path / "report.html").read_text()
