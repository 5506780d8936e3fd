"""What booted guests measured is explained without remainder, and is what was predicted.

One disk boot with each stub that differs: 262 loads the kernel itself, 257 has the firmware load and measure it.
"""

from pathlib import Path

import pytest

from fuki_build.formats import event_log
from fuki_build.hardware.machine import Machine
from fuki_build.image.assemble import assemble
from fuki_build.image.inspect import inspect
from fuki_build.measure.boot import Addon, Boot
from fuki_build.measure.contents import Contents
from fuki_build.measure.explain import Verdict, explain
from fuki_build.measure.predict import cases, predict
from fuki_build.measure.reasons import reasons
from fuki_build.measure.registers import BANKS
from tests.support.guests import CALM, boot, disk, probe

Q35 = Machine("q35", manufacturer="QEMU", product="Standard PC (Q35 + ICH9, 2009)")
EXTRA = "from=smbios"


@pytest.mark.parametrize("stub", ["stub-x64", "stub-257-x64"])
def test_a_disk_boot_with_an_addon_and_options_from_smbios(stub, workshop: Path, fuki, part, tmp_path):
    (workshop / "initrd.img").write_bytes(probe())
    (workshop / "fuki.toml").write_text(f"""
[fuki]
name = "log"
[fuki.image]
stub = "{part(stub)}"
linux = "vmlinuz"
initrd = "initrd.img"
cmdline = "console=ttyS0 quiet panic=-1 {CALM}"
os-release = "os-release"
[[fuki.profile]]
id = "other"
cmdline = "other"
[[fuki.addon]]
name = "more"
cmdline = "from=addon"
""")
    fuki("build")
    image, addon = workshop / "log.efi", workshop / "log.efi.extra.d" / "more.addon.efi"
    drive = disk(tmp_path / "esp.img", image, addon)
    oem = f"type=11,value=io.systemd.stub.kernel-cmdline-extra={EXTRA}"
    measured = boot(tmp_path, "-bios", part("ovmf-generic"), *drive, "-smbios", oem)

    layout, beside = inspect(image), inspect(addon)
    contents = Contents(layout, assemble(layout, algorithms=BANKS, measured=True), tuple(BANKS))
    added = Addon(addon.name, beside, assemble(beside, algorithms=BANKS, measured=True))
    known = Boot(smbios=EXTRA, addons=(added,), secret=False)
    (prediction,) = predict(contents, cases(layout, [Q35], [0]), known)
    for pcr in (4, 9, 11, 12):
        for bank in BANKS:
            assert prediction.value(pcr, bank) == measured.registers[bank, pcr], pcr
    log = event_log.decode(measured.log)
    found = explain(log, contents, cases(layout, None, layout.profiles), Boot(addons=(added,)))
    assert found.complete
    assert found.prediction is not None
    assert found.prediction.case.profile == 0
    assert found.boot is not None
    assert found.boot.smbios == EXTRA

    without = explain(log, contents, cases(layout, None, layout.profiles))
    unexpected = [item for item in without.events if item.verdict is Verdict.UNEXPECTED]
    assert {item.event.register for item in unexpected} == {4, 9}
    assert any(
        r"BOOTX64.EFI.extra.d\more.addon.efi was started" in text for _, text in reasons(without, contents, log.kind)
    )
