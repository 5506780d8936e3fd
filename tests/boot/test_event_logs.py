"""What booted guests measured is explained without remainder, and is what was predicted.

One disk boot with each stub that differs: 262 loads the kernel itself, 257 has the firmware load and measure it. The
disk of one has a partition table. The boot by the hypervisor is of a profile, whose number is measured.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha384
from pathlib import Path

import pytest
from msgspec.structs import replace

from fuki_build.formats.tcg import event_log
from fuki_build.formats.tcg.event_log import EventLog, LoggedEvent
from fuki_build.formats.uefi import gpt
from fuki_build.hardware.machine import Machine
from fuki_build.image.assemble import assemble
from fuki_build.image.blob import Blob
from fuki_build.image.digest_plan import measured_in
from fuki_build.image.inspect import inspect
from fuki_build.image.layout import Layout
from fuki_build.measure.boot import Addon, Boot, BootMethod
from fuki_build.measure.explain import explain
from fuki_build.measure.log_comparison import RegisterVerdict
from fuki_build.measure.predict import Prediction, cases, predict
from fuki_build.measure.reasons import reasons
from fuki_build.measure.registers import BANKS
from fuki_build.measure.rtmr import rtmrs
from fuki_build.measure.section_digests import SectionDigests
from fuki_build.testing import recipe
from tests.support.guests import CALM, boot, disk, probe

Q35 = Machine(name="q35", manufacturer="QEMU", product="Standard PC (Q35 + ICH9, 2009)")
EXTRA = "from=smbios"


def digests(log: EventLog, pcrs: Sequence[int]) -> list[bytes]:
    """What a log has in these registers, in the order of time, as edk2 measures it in a guest with RTMRs (TdTcg2Dxe.c).

    There one separator ends the firmware's part, and the calls of ExitBootServices that fail are left out here: how
    often that happens is the machine's.
    """
    kept: list[LoggedEvent] = []
    for event in log.events:
        if event.register not in pcrs or (event.type_name == "EV_SEPARATOR" and event.register != 4):
            continue
        if event.data == b"Exit Boot Services Returned with Failure":
            kept.pop()
        else:
            kept.append(event)
    return [event.digests["sha384"] for event in kept]


def extended(values: Iterable[bytes]) -> bytes:
    register = bytes(48)
    for value in values:
        register = sha384(register + value).digest()
    return register


def build(workshop: Path, fuki, stub: Path) -> tuple[Path, Path]:
    """An image that tells what was measured, and an addon of it for all kernels whose release begins with 6.1."""
    (workshop / "initrd.img").write_bytes(probe())
    cmdline = f"console=ttyS0 quiet panic=-1 {CALM}"
    slices = f"""
[[fuki.profile]]
id = "other"
cmdline = "{cmdline} other"
[[fuki.addon]]
name = "more"
cmdline = "from=addon"
uname = "6.1"
"""

    text = recipe(slices, name="log", stub=stub, initrd="initrd.img", cmdline=cmdline, os_release="os-release")
    (workshop / "fuki.toml").write_text(text)
    fuki("build")
    return workshop / "log.efi", workshop / "log.efi.extra.d" / "more.addon.efi"


def check_time(log: EventLog, prediction: Prediction, boot: Boot, layout: Layout) -> None:
    """Events were predicted in the order in which they were logged, and give the RTMRs that the log gives."""
    order = [(e.register, e.digests["sha384"]) for e in log.events if e.register in prediction.registers]
    assert [(event.pcr, event.digests["sha384"]) for event in prediction.events] == order
    # A guest with a TPM has options from SMBIOS strings, which those with RTMRs do not.
    first, second = rtmrs(prediction, replace(boot, smbios=None), layout)
    assert first.value == extended(digests(log, range(2, 7)))
    assert second.value == extended(digests(log, range(8, 16)))


@pytest.mark.parametrize(("stub", "partitioned"), [("stub-x64", False), ("stub-257-x64", True)])
def test_a_disk_boot_with_an_addon_and_options_from_smbios(stub, partitioned, workshop: Path, fuki, part, tmp_path):
    image, addon = build(workshop, fuki, part(stub))
    drive = disk(tmp_path / "esp.img", image, addon, partitioned=partitioned)
    oem = f"type=11,value=io.systemd.stub.kernel-cmdline-extra={EXTRA}"
    measured = boot(tmp_path, "-bios", part("ovmf-generic"), *drive, "-smbios", oem)

    layout, beside = inspect(image), inspect(addon)
    contents = SectionDigests(layout, assemble(layout, digests=measured_in(BANKS)), tuple(BANKS))
    added = Addon(addon.name, beside, assemble(beside, digests=measured_in(BANKS)))
    table = gpt.measured(Blob.of_file(tmp_path / "esp.img").reader)
    known = Boot(smbios=EXTRA, addons=(added,), secret=False, partitions=table)
    (prediction,) = predict(contents, cases(layout, [Q35], [0]), known)
    for pcr in (4, 9, 11, 12):
        for bank in BANKS:
            assert prediction.value(pcr, bank) == measured.registers[bank, pcr], pcr
    log = event_log.decode(measured.log)
    assert [event.data for event in log.events if event.type_name == "EV_EFI_GPT_EVENT"] == [table] * partitioned
    check_time(log, prediction, known, layout)
    explanation = explain(log, contents, cases(layout, None, layout.profiles), Boot(addons=(added,)))
    assert explanation.complete
    assert explanation.prediction is not None
    assert explanation.prediction.case.profile == 0
    assert explanation.boot is not None
    assert explanation.boot.smbios == EXTRA

    without = explain(log, contents, cases(layout, None, layout.profiles))
    unexpected = [item for item in without.events if item.verdict is RegisterVerdict.UNEXPECTED]
    assert {item.event.register for item in unexpected} == {4, 9}
    assert any(
        r"BOOTX64.EFI.extra.d\more.addon.efi was started" in text for _, text in reasons(without, contents, log.kind)
    )


def test_a_profile_that_the_hypervisor_boots(workshop: Path, fuki, part, tmp_path):
    image, _ = build(workshop, fuki, part("stub-x64"))
    measured = boot(tmp_path, "-bios", part("ovmf-generic"), "-kernel", image, "-append", "@1")
    layout = inspect(image)
    contents = SectionDigests(layout, assemble(layout, digests=measured_in(BANKS)), tuple(BANKS))
    known = Boot(method=BootMethod.DIRECT)
    (prediction,) = predict(contents, cases(layout, [Q35], [1]), known)
    check_time(event_log.decode(measured.log), prediction, known, layout)
