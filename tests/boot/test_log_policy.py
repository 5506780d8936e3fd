"""A booted guest's log, judged by a policy that names nothing but files: its firmware, its image, what is beside them."""

from pathlib import Path
from typing import Any

import parts
import pytest
from fuki_qemu import session
from fuki_qemu.guest import Screen

from fuki_build import new_host
from fuki_build.testing import invoke
from fuki_build.testing.documents import printed
from tests.support.bootable import CMDLINE, build

POLICY = """
tolerate = ["boot-variables", "configuration", "tables", "initrd"]
[firmware]
files = ["{firmware}"]
[programs]
images = ["other/bootable.efi", "image/bootable.efi"]
[secure-boot]
state = "off"
"""


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The log of a guest as `log`, of an image; beside it another image, and a policy with both."""
    directory = tmp_path_factory.mktemp("judged")
    image, firmware = build(directory / "image"), parts.get("ovmf-code")
    build(directory / "other", cmdline=f"{CMDLINE} other")

    request = session.BootRequest(
        image=image, firmware=firmware, kvm=False, timeout=150, verify=True, screen=Screen.NONE
    )
    guest = session.boot(request, new_host(), directory / "boot")
    assert guest.report is not None, guest.console[-2000:]
    assert guest.report.log is not None
    (directory / "log").write_bytes(guest.report.log)
    (directory / "policy.toml").write_text(POLICY.format(firmware=firmware))
    return directory


def judged(directory: Path, code: int = 0) -> dict[str, Any]:
    return printed(directory, "replay", "log", "--policy", "policy.toml", "--json", code=code)["policy"]


def test_nothing_is_refused_of_what_the_files_account_for(booted: Path) -> None:
    view = judged(booted)
    assert (view["holds"], view["missing"], Path(view["image"]).parent.name) == (True, [], "image")
    assert {event["ruling"] for event in view["events"]} == {"accepted", "tolerated", "not judged"}


def test_another_image_and_no_image_are_refused(booted: Path, tmp_path: Path) -> None:
    text = (booted / "policy.toml").read_text()
    for images, missing in (
        ('"other/bootable.efi"', ["none of programs.images was started: other/bootable.efi"]),
        ("", []),
    ):
        start, _, rest = text.partition("images = [")
        (booted / "other.toml").write_text(f"{start}images = [{images}]{rest.partition(']')[2]}")
        document = printed(booted, "replay", "log", "--policy", "other.toml", "--json", code=3)
        refused = {document["events"][e["number"]]["register"] for e in document["policy"]["events"] if e["remedy"]}
        assert {4, 11} <= refused
        assert document["policy"]["missing"] == missing


def test_a_firmware_of_another_build_is_refused(booted: Path) -> None:
    text = (booted / "policy.toml").read_text().replace(str(parts.get("ovmf-code")), str(parts.get("ovmf-2025")))
    (booted / "older.toml").write_text(text)
    outcome = invoke(booted, "replay", "log", "--policy", "older.toml")
    assert outcome.code == 3
    assert "missing: no event is of the firmware that [firmware] names" in outcome.out
