"""Images that were edited measure what is predicted of them, and boot with what the edit gave them."""

import subprocess
import sys
from pathlib import Path

import parts
import pytest
from fuki_qemu import PROBE

from fuki_build.testing import recipe, succeed
from tests.support.bootable import CALM, CLOUD_PLUGINS, CMDLINE


@pytest.fixture
def ukify(part, tmp_path) -> Path:
    """An image of ukify's, with two profiles."""
    (tmp_path / "initrd").write_bytes(b"070701 and no more")
    command = [sys.executable, part("ukify"), "build", "--hwids="]
    common = [f"--stub={part('stub-x64')}", f"--linux={PROBE}", f"--initrd={tmp_path / 'initrd'}", "--uname=6.12"]
    debug = [f"--stub={part('addon-stub-x64')}", "--profile=ID=debug", f"--cmdline={CMDLINE} debug"]
    join = ["--profile=ID=main", f"--join-profile={tmp_path / 'debug.efi'}", f"--cmdline={CMDLINE}"]
    for arguments, name in ((debug, "debug.efi"), ([*common, *join, "--os-release=ID=ukify"], "ukify.efi")):
        words = [*command, *arguments, f"--output={tmp_path / name}"]
        subprocess.run(list(map(str, words)), check=True, capture_output=True)
    return tmp_path / "ukify.efi"


def test_an_image_of_ukify_s_with_another_command_line_initrd_and_firmware(bench, ukify, tmp_path):
    (tmp_path / "more.img").write_bytes(parts.initrd({"init": b"#!/bin/sh\n"}))
    (tmp_path / "gce.fd").write_bytes(b"firmware".ljust(64 * 1024, b"\xff"))
    before = bench.boot(ukify, "--as", "gcp", plugins=CLOUD_PLUGINS)
    succeed(
        tmp_path,
        *("--plugin", "gcp", "edit", ukify, "--add-initrd", "more.img", "-o", "edited.efi"),
        *("--set", f".cmdline=console=ttyS0 panic=-1 edited {CALM}"),
        *("--firmware", "gce=gce.fd", "--platform", "gcp", "--silence", "firmware-unknown"),
    )
    after = bench.boot(tmp_path / "edited.efi", "--as", "gcp", scenario="ukify, edited", plugins=CLOUD_PLUGINS)

    assert after.document["fwid"] == "gce"
    assert after.compared["PCR 11", "sha256"]["verdict"] == "equal"
    assert after.measured(11) != before.measured(11)


def test_a_hand_over_program_that_is_removed_leaves_the_stub_to_start(bench, tmp_path):
    (tmp_path / "one.fd").write_bytes(b"firmware".ljust(64 * 1024, b"\xff"))
    firmware = """
[[fuki.firmware]]
source = "file"
id = "one"
path = "one.fd"
platforms = ["qemu:q35"]
[fuki.hand-over]
interface = "vm-launch-update"
"""

    text = recipe(
        firmware,
        name="boot",
        plugins=["hand-over"],
        silence=["firmware-unknown", "vm-launch-update-payload"],
        stub=parts.get("stub-x64"),
        linux=PROBE,
        uname="6.12-probe",
        cmdline=CMDLINE,
    )

    (tmp_path / "fuki.toml").write_text(text)
    succeed(tmp_path, "build")
    succeed(tmp_path, "edit", "boot.efi", "--no-hand-over", "--silence", "firmware-unknown", "-o", "edited.efi")
    booted = bench.boot(tmp_path / "edited.efi", scenario="hand-over program removed")
    assert booted.compared["PCR 11", "sha256"]["verdict"] == "equal"
