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
from fuki_build.formats.tcg import event_log
from fuki_build.formats.uefi.measured_firmware import measured_firmware
from fuki_build.measure.explain import registers
from fuki_build.measure.first_volume import MEASURED_BUILDS
from fuki_build.testing import invoke, succeed
from fuki_build.testing.documents import printed
from tests.support.arm_firmware import log_of_firmware
from tests.support.bootable import build

BANKS = ("sha1", "sha256", "sha384", "sha512")
CHIPSETS = {"q35": "q35", "i440fx": "pc"}
"""The names of QEMU's machine types with these chipsets."""


def boot(directory: Path, image: Path, firmware: Path, chipset: str = "q35", memory: str = "1G") -> GuestReport:
    """The image, booted on a machine with that chipset and memory; its log is `directory/boot/event-log`."""
    request = BootRequest(
        image=image,
        firmware=firmware,
        memory=memory,
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

    log = tmp_path / "boot" / "event-log"
    (tmp_path / "policy.toml").write_text(f'[firmware]\nfiles = ["{firmware}"]\n')
    rulings = printed(tmp_path, "replay", log, "--policy", "policy.toml", "--json", code=3)["policy"]["events"]
    numbers = [event.register for event in event_log.decode(log.read_bytes()).events]
    assert [row["ruling"] for row in rulings if numbers[row["number"]] == 0] == ["not judged", *["accepted"] * 4]


@pytest.mark.parametrize("part", ["aavmf-2022", "aavmf-2025-secboot", "aavmf-secboot"])
def test_register_0_of_arm_firmware_is_predicted_from_its_file(part: str, tmp_path: Path) -> None:
    image, firmware = build(tmp_path / "image"), parts.get(part)
    log = log_of_firmware(firmware, tmp_path)
    values = {bank: registers(log, bank)[0].hex() for bank in BANKS}
    assert predicted(tmp_path, image, "--host-firmware", firmware) == values


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


def test_a_log_stands_for_machines_of_its_shape_alone(tmp_path: Path) -> None:
    image, firmware = build(tmp_path / "image"), parts.get("ovmf-2022")
    boot(tmp_path / "first", image, firmware, memory="512M")
    report = boot(tmp_path, image, firmware)
    log = tmp_path / "first" / "boot" / "event-log"
    value = predicted(tmp_path, image, "--host-firmware", firmware, "--firmware-log", log)["sha256"]
    assert value != report.registers["sha256"][0].hex()


@pytest.mark.parametrize("part", ["ovmf-2022", "ovmf-2025", "ovmf-generic"])
def test_of_register_1_it_is_told_what_firmware_measures_and_that_only_the_separator_is_known(
    part: str, tmp_path: Path
) -> None:
    image, firmware = build(tmp_path / "image"), parts.get(part)
    boot(tmp_path, image, firmware)
    (case,) = printed(tmp_path, "measure", image, "--host-firmware", firmware, "--pcr", 1, "--json")["predictions"]
    (register,) = case["registers"]
    assert (register["pcr"], register["values"]) == (1, {})
    assert register["unknown"] == "; ".join(
        dict.fromkeys(event["unknown"] for event in case["events"] if event["unknown"])
    )

    events = event_log.decode((tmp_path / "boot" / "event-log").read_bytes()).events
    logged = [(event.type_name, event.digests["sha256"].hex()) for event in events if event.register == 1]
    by_firmware = logged[: logged.index(("EV_SEPARATOR", sha256(bytes(4)).hexdigest())) + 1]
    told = [(event["type"], event["digests"].get("sha256")) for event in case["events"]]
    assert told[-1] == by_firmware[-1]
    assert {kind for kind, _ in by_firmware} <= {kind for kind, _ in told}


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


def test_what_has_no_measured_volumes_is_refused(tmp_path: Path) -> None:
    image = build(tmp_path / "image")
    outcome = invoke(tmp_path, "measure", image, "--host-firmware", parts.get("ovmf-vars"))
    assert outcome.code == 1
    assert "what it measures of itself cannot be told: it has no pair of compressed volumes" in outcome.err


def test_firmware_for_guests_without_a_tpm_is_said_to_be_so(tmp_path: Path) -> None:
    image = build(tmp_path / "image")
    out = succeed(tmp_path, "measure", image, "--host-firmware", parts.get("ovmf-inteltdx"), "--pcr", 0).out
    assert "cannot be told: it was built without support for a TPM" in out
