"""A new image whose own firmware is broken falls back to the old one, by the counting of systemd-boot.

Each image's first program plays systemd's part: it wants its own firmware to run, as a unit does that
boot-complete.target requires and that asks `fuki hand-over status`; where it does not, the start has failed, and the
machine is reset.
"""

import lzma
import re
import subprocess
from pathlib import Path

import parts
from fuki_qemu import machine
from fuki_qemu.guest import Ending, Screen
from fuki_qemu.host import cycle
from fuki_qemu.host import parts as host_parts
from fuki_qemu.host.cycle import CycleSettings
from fuki_qemu.host.native_start import memory_of_q35
from fuki_qemu.machine import VirtualMachine

from fuki_build import native_igvm
from fuki_build.formats.uki import hand_over_outcome
from fuki_build.formats.uki.hand_over_outcome import HandOverResult
from fuki_build.testing import recipe, succeed
from tests.boot.test_hand_over_cycle import dead, firmware, hand_over, wrapped
from tests.boot.test_secure_boot import disk
from tests.support.guests import CALM
from tests.support.workshop import lay_out

_TOO_LONG = 600
"""Seconds that five starts do not take, even on a busy host."""
_MEMORY = "1G"
VARIABLE = f"/sys/firmware/efi/efivars/{hand_over_outcome.NAME}-{hand_over_outcome.VENDOR}"
OWN = (HandOverResult.HANDED_OVER, HandOverResult.ALREADY_RUNNING)
INIT = f"""#!/bin/busybox sh
export PATH=/bin
busybox mkdir -p /sys
busybox mount -t sysfs sysfs /sys
busybox insmod /efivarfs.ko
busybox mount -t efivarfs efivarfs /sys/firmware/efi/efivars
# Four bytes of attributes, then version, size and result.
result=$(busybox tail -c +9 {VARIABLE} | busybox od -An -tu2 -N2)
echo "release $(busybox cat /release) says" $result
if [ $result = {OWN[0]} ] || [ $result = {OWN[1]} ]; then busybox poweroff -f; fi
busybox reboot -f
"""


def release(directory: Path, version: int, own: Path) -> Path:
    """Build a release that brings its own firmware, as systemd-sysupdate would fetch it; it has two tries."""
    output = '[[fuki.output]]\nformat = "sysupdate"\npath = "feed"\nurl = "https://acme.example/"\ntries = 2\n'
    text = recipe(
        hand_over() + firmware("own", own, "qemu:q35") + output,
        version=str(version),
        plugins=["hand-over"],
        silence=["firmware-unknown"],
        initrd="initrd",
        cmdline=f"console=ttyS0 quiet panic=-1 {CALM}",
        os_release={"text": f"ID=acme\nIMAGE_VERSION={version}\n"},
    )
    files = {"init": INIT.encode(), "release": b"%d" % version, "bin/busybox": parts.get("busybox").read_bytes()}
    files["efivarfs.ko"] = lzma.decompress(parts.get("efivarfs-x64").read_bytes())
    real = {"stub": "stub-x64", "vmlinuz": "kernel-x64"}
    lay_out(directory, real=real, files={"initrd": parts.initrd(files)}, recipe=text)
    succeed(directory, "build")
    return directory / f"feed/acme_{version}.efi"


def test_a_new_image_whose_firmware_is_dead_falls_back_to_the_old_one_on_its_own_firmware(tmp_path: Path) -> None:
    broken = tmp_path / "dead.igvm"
    broken.write_bytes(dead())
    good = wrapped(tmp_path, "ovmf-generic")
    (tmp_path / "loader.conf").write_text("timeout 0\n")
    files = {
        "EFI/BOOT/BOOTX64.EFI": parts.get("boot-x64"),
        # The old one has been blessed, the new one was just installed.
        "EFI/Linux/acme_1.efi": release(tmp_path / "old", 1, good),
        "EFI/Linux/acme_2+2-0.efi": release(tmp_path / "new", 2, broken),
        "loader/loader.conf": tmp_path / "loader.conf",
    }
    disk(tmp_path / "esp.img", files)

    memory = memory_of_q35(machine.memory_size(_MEMORY))
    settings = CycleSettings(host_file=native_igvm(parts.get("ovmf-2025")), memory=memory, until_off=True)
    guest = VirtualMachine(firmware=cycle.options(settings, tmp_path), memory=_MEMORY, disk=tmp_path / "esp.img")
    command = machine.command(guest, kvm=False)
    console = tmp_path / "console"
    outcome, starts = cycle.run(
        command, console, _TOO_LONG, settings, tpm=None, screen=Screen.NONE, is_done=lambda: False
    )

    told = console.read_text(errors="replace")
    assert outcome.ending is Ending.ENDED, told[-3000:]
    # The new one hands its firmware over, which is dead; then it runs on the host's, and says so. The old one is next.
    guard, handed_over = HandOverResult.GUARD.value, HandOverResult.HANDED_OVER.value
    assert re.findall(r"release (\d) says (\d)", told) == [("2", str(guard)), ("1", str(handed_over))], told[-3000:]
    assert [start.file for start in starts] == [
        settings.host_file,
        broken.read_bytes(),
        settings.host_file,
        settings.host_file,
        good.read_bytes(),
    ]
    assert host_parts.is_running(good.read_bytes(), memory, starts[-1].firmware)

    listing = ["mdir", "-b", "-i", str(tmp_path / "esp.img"), "::/EFI/Linux"]
    names = subprocess.run(listing, check=True, capture_output=True, text=True).stdout.split()
    assert sorted(Path(name).name for name in names) == ["acme_1.efi", "acme_2+0-2.efi"]
