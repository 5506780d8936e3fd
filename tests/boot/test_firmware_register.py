"""Register 0 of guests, held against the file of their firmware: builds of four years, in two forms."""

from pathlib import Path

import parts
import pytest
from fuki_qemu import session
from fuki_qemu.guest import Screen
from fuki_qemu.report import GuestReport

from fuki_build import new_host
from fuki_build.testing import invoke, succeed
from fuki_build.testing.documents import printed
from tests.support.bootable import build

BANKS = ("sha1", "sha256", "sha384", "sha512")


def boot(directory: Path, image: Path, firmware: Path) -> GuestReport:
    request = session.BootRequest(
        image=image, firmware=firmware, kvm=False, timeout=150, verify=True, screen=Screen.NONE
    )
    booted = session.boot(request, new_host(), directory / "boot")
    assert booted.report is not None, booted.console[-2000:]
    return booted.report


@pytest.mark.parametrize("part", ["ovmf-code", "ovmf-generic"])
def test_register_0_is_predicted_from_firmware_whose_drivers_write_elsewhere(part: str, tmp_path: Path) -> None:
    image, firmware = build(tmp_path / "image"), parts.get(part)
    report = boot(tmp_path, image, firmware)

    options = ("--host-firmware", firmware, "--volume-unchanged", "--bank", "all", "--json")
    (case,) = printed(tmp_path, "measure", image, *options)["predictions"]
    (register,) = [row for row in case["registers"] if row["pcr"] == 0]
    assert register["values"] == {bank: report.registers[bank][0].hex() for bank in BANKS}


@pytest.mark.parametrize("part", ["ovmf-2025", "ovmf-2022", "ovmf-2022-code"])
def test_all_but_the_volume_of_the_first_drivers_is_recognised_of_any_build(part: str, tmp_path: Path) -> None:
    image, firmware = build(tmp_path / "image"), parts.get(part)
    boot(tmp_path, image, firmware)

    options = ("--image", image, "--host-firmware", firmware, "--no-boot-secret", "--json")
    events = printed(tmp_path, "replay", tmp_path / "boot" / "event-log", *options)["events"]
    verdicts = [(event["type"], event["verdict"]) for event in events if event["register"] == 0]
    assert verdicts == [
        ("EV_NO_ACTION", "information"),
        ("EV_S_CRTM_VERSION", "image"),
        ("EV_EFI_PLATFORM_FIRMWARE_BLOB", "undecided"),
        ("EV_EFI_PLATFORM_FIRMWARE_BLOB", "image"),
        ("EV_SEPARATOR", "firmware"),
    ]

    outcome = succeed(tmp_path, "measure", image, "--host-firmware", firmware, "--pcr", 0)
    assert "cannot be told: in some builds, drivers write into this volume" in outcome.out


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ("ovmf-inteltdx", "it was built without support for a TPM"),
        ("ovmf-vars", "it has no pair of compressed volumes"),
    ],
)
def test_what_has_no_measured_volumes_is_refused(part: str, reason: str, tmp_path: Path) -> None:
    image = build(tmp_path / "image")
    outcome = invoke(tmp_path, "measure", image, "--host-firmware", parts.get(part))
    assert outcome.code == 1
    assert f"what it measures of itself cannot be told: {reason}" in outcome.err
