"""What was built starts on real firmware: QEMU without acceleration, edk2, the real stub and kernel.

The guest has no root file system; its kernel prints the command line, gives up and, with panic=-1, ends the machine.
"""

import subprocess
from pathlib import Path

import pytest

CPU = "qemu64,-cx16"
"""QEMU 7.2 emulates cmpxchg16b wrongly now and then on a busy host, and kernels use it to allocate memory."""
_MACHINE = (
    *("qemu-system-x86_64", "-machine", "q35", "-accel", "tcg", "-cpu", CPU, "-m", "1G", "-nodefaults"),
    *("-display", "none", "-serial", "stdio", "-no-reboot"),
)
_TOO_LONG = 300
"""Seconds that no boot takes, even on a busy machine."""


@pytest.fixture
def image(workshop: Path, part, fuki) -> Path:
    """An F-UKI with two profiles and an addon made without a stub."""
    for name in ("ovmf-generic", "ovmf-amdsev"):
        place = workshop / name
        place.mkdir()
        (place / "OVMF.fd").symlink_to(part(name))
    (workshop / "fuki.toml").write_text("""
[fuki]
name = "boot"
[fuki.image]
stub = "stub"
linux = "vmlinuz"
initrd = "initrd.img"
cmdline = "console=ttyS0 panic=-1 which=base no_timer_check tsc=reliable"
os-release = "os-release"
[[fuki.firmware]]
source = "directory"
path = "ovmf-generic"
platforms = ["qemu:q35"]
[[fuki.firmware]]
source = "directory"
path = "ovmf-amdsev"
platforms = ["qemu:i440fx"]
[[fuki.profile]]
id = "other"
cmdline = "console=ttyS0 panic=-1 which=other no_timer_check tsc=reliable"
[[fuki.addon]]
name = "more"
cmdline = "from=addon"
""")
    fuki("build")
    return workshop / "boot.efi"


def command_line(console: str) -> list[str]:
    """What the booted kernel says of its command line."""
    lines = [line for line in console.splitlines() if "Kernel command line: " in line]
    assert lines, console[-2000:]
    return lines[0].partition("Kernel command line: ")[2].split()


def boot(firmware: Path, *arguments: object) -> str:
    command = [*_MACHINE, "-bios", str(firmware), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, timeout=_TOO_LONG, check=True, stdin=subprocess.DEVNULL)
    return done.stdout.decode(errors="replace")


def test_an_image_boots_from_a_disk_and_its_stub_takes_an_addon_made_without_one(image, part, tmp_path):
    disk = tmp_path / "esp.img"
    with disk.open("wb") as file:
        file.truncate(64 * 1024 * 1024)
    loader = "::/EFI/BOOT/BOOTX64.EFI"
    subprocess.run(["mformat", "-i", disk, "-F", "::"], check=True)
    subprocess.run(["mmd", "-i", disk, "::/EFI", "::/EFI/BOOT", f"{loader}.extra.d"], check=True)
    subprocess.run(["mcopy", "-i", disk, image, loader], check=True)
    addon = image.with_name("boot.efi.extra.d") / "more.addon.efi"
    subprocess.run(["mcopy", "-i", disk, addon, f"{loader}.extra.d/more.addon.efi"], check=True)
    drive = ("-drive", f"if=none,format=raw,file={disk},id=esp", "-device", "virtio-blk-pci,drive=esp,bootindex=1")
    words = command_line(boot(part("ovmf-generic"), *drive))
    assert "which=base" in words
    assert "from=addon" in words


def test_a_profile_boots_with_its_own_command_line(image, part):
    words = command_line(boot(part("ovmf-generic"), "-kernel", image, "-append", "@1"))
    assert "which=other" in words
    assert "which=base" not in words
