"""Images that start with the hand-over program, on hosts that take no firmware: they boot on as before."""

from pathlib import Path

import parts
import pytest

from fuki_build.formats.uki.hand_over_outcome import HandOverResult
from fuki_build.testing import succeed
from tests.support.bootable import CLOUD_PLUGINS, CLOUDS, build, clouds
from tests.support.hand_over import outcome_of

PLUGINS = (*CLOUD_PLUGINS, "hand-over")
SILENCE = ("firmware-unknown", "vm-launch-update-payload")
PROFILE = """
[[fuki.profile]]
id = "other"
cmdline = "console=ttyS0 which=other"
"""
TABLE = """
[fuki.hand-over]
interface = "vm-launch-update"
"""


def firmware_for(directory: Path) -> str:
    """The firmware of five clouds, and one file that QEMU's own machine selects."""
    (directory / "own").mkdir(parents=True)
    (directory / "own" / "firmware.fd").write_bytes(b"no firmware".ljust(64 * 1024, b"\xff"))
    own = '[[fuki.firmware]]\nsource = "directory"\npath = "own"\nplatforms = ["qemu"]\n'
    return clouds(directory) + own


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("hand-over")
    return build(directory, TABLE + firmware_for(directory) + PROFILE, plugins=PLUGINS, silence=SILENCE)


def test_without_a_device_the_image_boots_on_and_measures_what_it_did_before(bench, image, tmp_path):
    booted = bench.boot(image, scenario="hand-over program, no device")
    outcome = outcome_of(bench)
    assert (outcome.result, outcome.reason) == (HandOverResult.NO_DEVICE, 19)
    assert outcome.fwid == booted.document["fwid"] == "own"

    without = build(tmp_path / "without", firmware_for(tmp_path / "without") + PROFILE)
    before = bench.boot(without)
    assert before.measured(11) == booted.measured(11)
    assert before.measured(4) != booted.measured(4)


def test_a_boot_tells_people_what_came_of_the_hand_over(image, tmp_path):
    options = ("--verify", "--no-kvm", "--timeout", 150, "--firmware", parts.get("ovmf-generic"))
    told = succeed(tmp_path, "--plugin", "qemu", "boot", image, *options).out
    assert told.endswith("no interface that takes firmware: its fw_cfg has no file etc/vmlaunchupdate\n")
    assert "\nno-device: " in told


@pytest.mark.parametrize("fwid", ["aws", "gcp"])
def test_the_program_selects_what_the_stub_measures(fwid, bench, image):
    booted = bench.boot(image, "--as", CLOUDS[fwid], scenario=f"hand-over program as {fwid}", plugins=PLUGINS)
    assert outcome_of(bench).fwid == booted.document["fwid"] == fwid


def test_a_profile_that_is_asked_for_is_the_programs_too(bench, image):
    bench.boot(image, "--profile", "other", scenario="hand-over program, profile @1")
    assert outcome_of(bench).profile == 1


def test_linux_starts_behind_the_program(bench, tmp_path):
    image = build(
        tmp_path / "linux", TABLE + firmware_for(tmp_path / "linux"), kernel=True, plugins=PLUGINS, silence=SILENCE
    )
    bench.boot(image, scenario="hand-over program, real kernel")


def test_firmware_that_runs_already_is_recognised(bench, tmp_path):
    """The image brings the very file that the guest starts with."""
    (tmp_path / "image").mkdir()
    firmware = (
        f'[[fuki.firmware]]\nsource = "file"\nid = "own"\npath = "{parts.get("ovmf-generic")}"\nplatforms = ["qemu"]\n'
    )
    image = build(tmp_path / "image", TABLE + firmware, plugins=PLUGINS, silence=SILENCE)
    bench.boot(
        image, "--direct", "--firmware", parts.get("ovmf-generic"), scenario="hand-over program, own firmware runs"
    )
    outcome = outcome_of(bench)
    assert (outcome.result, outcome.reason) == (HandOverResult.ALREADY_RUNNING, 0)


def test_firmware_that_enforces_secure_boot_starts_the_signed_program(bench, image, tmp_path):
    succeed(tmp_path, "keys", "generate", "keys", "--name", "Tenant")
    signed = tmp_path / "signed.efi"
    succeed(tmp_path, "sign", image, "--key", "keys/db.key", "--certificate", "keys/db.pem", "-o", signed)
    secure = ("--firmware", parts.get("ovmf-secboot"), "--secure-boot", tmp_path / "keys")
    bench.boot(signed, *secure, scenario="hand-over program, Secure Boot", plugins=("virt-firmware",))
    assert outcome_of(bench).result is HandOverResult.NO_DEVICE
