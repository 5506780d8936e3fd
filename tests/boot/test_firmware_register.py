"""Register 0 of guests, held against the file of their firmware: builds of six years, on two chipsets."""

from hashlib import sha256
from pathlib import Path

import parts
import pytest
from fuki_qemu import machine, session
from fuki_qemu.boot_request import BootRequest
from fuki_qemu.guest import Screen
from fuki_qemu.report import GuestReport

from fuki_build import new_host
from fuki_build.formats.uefi.measured_firmware import measured_firmware
from fuki_build.measure.first_volume import MEASURED_BUILDS
from fuki_build.testing import invoke, succeed
from fuki_build.testing.documents import printed
from tests.support.bootable import build

BANKS = ("sha1", "sha256", "sha384", "sha512")
CHIPSETS = {"q35": "q35", "i440fx": "pc"}
"""The names of QEMU's machine types with these chipsets."""


def boot(directory: Path, image: Path, firmware: Path, chipset: str = "q35") -> GuestReport:
    """The image, booted on a machine with that chipset; its log is `directory/boot/event-log`."""
    request = BootRequest(
        image=image,
        firmware=firmware,
        kvm=False,
        timeout=150,
        verify=True,
        screen=Screen.NONE,
    )
    with pytest.MonkeyPatch.context() as patch:
        command = machine.command
        machine_type = f"{CHIPSETS[chipset]},smm=off"
        patch.setattr(
            machine,
            "command",
            lambda *parts, **options: [
                machine_type if word == "q35,smm=off" else word for word in command(*parts, **options)
            ],
        )
        booted = session.boot(request, new_host(), directory / "boot")

    assert booted.report is not None, booted.console[-2000:]
    return booted.report


def predicted(directory: Path, image: Path, *options: object) -> dict[str, str]:
    words = map(str, (*options, "--bank", "all", "--json"))
    (case,) = printed(directory, "measure", image, *words)["predictions"]
    (register,) = [row for row in case["registers"] if row["pcr"] == 0]
    return register["values"]


def measured(report: GuestReport) -> dict[str, str]:
    return {bank: report.registers[bank][0].hex() for bank in BANKS}


@pytest.mark.parametrize(
    ("part", "chipset"),
    [
        ("ovmf-2025", "q35"),
        ("ovmf-2025", "i440fx"),
        ("ovmf-2025-code", "q35"),
        ("ovmf-generic", "q35"),
        ("ovmf-generic", "i440fx"),
        ("ovmf-code", "q35"),
        ("ovmf-legacy", "q35"),
    ],
)
def test_register_0_is_predicted_from_the_file_and_the_chipset(part: str, chipset: str, tmp_path: Path) -> None:
    image, firmware = build(tmp_path / "image"), parts.get(part)
    report = boot(tmp_path, image, firmware, chipset)

    options = ["--host-firmware", firmware, "--chipset", chipset]
    if not is_measured_build(firmware):
        options += ["--volume-unchanged"]
    assert predicted(tmp_path, image, *options) == measured(report)


def is_measured_build(firmware: Path) -> bool:
    """Whether the package has no newer build than those that fuki knows to leave its volume alone."""
    return sha256(measured_firmware(firmware.read_bytes()).volumes[0]).hexdigest() in MEASURED_BUILDS


@pytest.mark.parametrize("part", ["ovmf-2020", "ovmf-2022", "ovmf-2022-code"])
def test_what_drivers_write_is_taken_from_the_log_of_another_boot(part: str, tmp_path: Path) -> None:
    image, firmware = build(tmp_path / "image"), parts.get(part)
    other = build(tmp_path / "other", cmdline="another image")
    boot(tmp_path / "first", other, firmware)
    report = boot(tmp_path, image, firmware)

    outcome = succeed(tmp_path, "measure", image, "--host-firmware", firmware, "--chipset", "q35", "--pcr", 0)
    assert "cannot be told: drivers of this build may write into this volume" in outcome.out

    log = tmp_path / "first" / "boot" / "event-log"
    options = ("--host-firmware", firmware, "--firmware-log", log)
    assert predicted(tmp_path, image, *options) == measured(report)

    refused = invoke(tmp_path, "measure", image, "--host-firmware", parts.get("ovmf-2025"), "--firmware-log", log)
    assert refused.code == 1
    assert "this is not the log of a machine with that firmware" in refused.err


@pytest.mark.parametrize("part", ["ovmf-2022", "ovmf-2022-code"])
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
