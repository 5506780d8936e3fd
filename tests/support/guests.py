"""Guests with a software TPM, whose first program tells what was measured."""

import fcntl
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import parts

from fuki_build.hardware.machine import Machine

_TOO_LONG = 300
"""Seconds that no boot takes, even on a busy machine."""

CALM = "no_timer_check tsc=reliable mitigations=off cryptomgr.notests=1"
"""Keeps a kernel from giving up on timers that a busy host serves late, and saves a second."""

CPU = "qemu64,-cx16"
"""QEMU 7.2 emulates cmpxchg16b wrongly now and then on a busy host, and kernels use it to allocate memory."""

TELL = """\
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t securityfs security /sys/kernel/security
for bank in sha1 sha256 sha384 sha512; do
    for pcr in 4 7 9 11 12; do
        echo "PCR $bank $pcr $(/bin/busybox cat /sys/class/tpm/tpm0/pcr-$bank/$pcr)"
    done
done
/bin/busybox cat /sys/kernel/security/tpm0/binary_bios_measurements >/dev/vport0p1
/bin/busybox reboot -f
"""
"""What a guest tells, where /sys and /dev are there to be mounted on."""

INIT = f"#!/bin/busybox sh\n/bin/busybox mkdir -p /sys /dev\n{TELL}".encode()


class Measured(NamedTuple):
    """The registers that a guest's TPM had, by bank and number, its event log, and all that it printed."""

    registers: dict[tuple[str, int], bytes]
    log: bytes
    console: str


@contextmanager
def only_guest() -> Iterator[None]:
    """Guests that share two cores with other guests give up on timers that are served late."""
    with (parts.PARTS / ".boot").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def probe() -> bytes:
    """An initrd whose first program tells what was measured."""
    return parts.initrd({"init": INIT, "bin/busybox": parts.get("busybox").read_bytes()})


@contextmanager
def software_tpm(directory: Path) -> Iterator[Path]:
    """The control socket of a software TPM, whose state is in the directory, and stays there."""
    socket, state = directory / "tpm", directory / "state"
    state.mkdir(exist_ok=True)
    command = ("swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}", "--ctrl", f"type=unixio,path={socket}")
    with subprocess.Popen([*command, "--terminate"]) as process:
        try:
            while not socket.exists():
                assert process.poll() is None
            yield socket
        finally:
            process.terminate()


def boot(directory: Path, *arguments: object) -> Measured:
    """Boot a guest whose initrd is the probe; `directory` is its own."""
    log = directory / "log"
    with software_tpm(directory) as socket:
        command = [
            *("qemu-system-x86_64", "-machine", "q35", "-accel", "tcg", "-cpu", CPU, "-m", "1G", "-nodefaults"),
            *("-display", "none", "-serial", "stdio", "-no-reboot"),
            *tpm_device(socket),
            *("-device", "virtio-serial-pci"),
            *("-chardev", f"file,id=log,path={log}", "-device", "virtserialport,chardev=log"),
        ]
        done = subprocess.run(
            [*command, *map(str, arguments)],
            capture_output=True,
            timeout=_TOO_LONG,
            check=True,
            stdin=subprocess.DEVNULL,
        )

    # The firmware leaves escape codes in front of the first line.
    console = done.stdout.decode(errors="replace")
    matches = re.findall(r"PCR (sha\d+) (\d+) ([0-9A-F]+)", console)
    assert len(matches) == 20, console[-2000:]
    registers = {(bank, int(pcr)): bytes.fromhex(value) for bank, pcr, value in matches}
    return Measured(registers, log.read_bytes(), console)


def tpm_device(socket: Path) -> tuple[str, ...]:
    """QEMU's options for a TPM behind a control socket."""
    chardev = ("-chardev", f"socket,id=tpm,path={socket}", "-tpmdev", "emulator,id=tpm,chardev=tpm")
    return (*chardev, "-device", "tpm-tis,tpmdev=tpm")


def disk(path: Path, image: Path, *addons: Path, partitioned: bool = False) -> tuple[str, ...]:
    """QEMU's options for a disk with an image, and addons beside it; its file system fills the disk, or a partition."""
    loader = "::/EFI/BOOT/BOOTX64.EFI"
    with path.open("wb") as file:
        file.truncate(64 * 1024 * 1024)

    place, size = str(path), []
    if partitioned:
        table = "label: gpt\nstart=1MiB, size=62MiB, type=uefi\n"
        subprocess.run(["sfdisk", "--quiet", path], input=table, text=True, check=True)
        place, size = f"{path}@@1M", ["-T", str(62 * 2048)]

    subprocess.run(["mformat", "-i", place, "-F", *size, "::"], check=True)
    subprocess.run(["mmd", "-i", place, "::/EFI", "::/EFI/BOOT", f"{loader}.extra.d"], check=True)
    subprocess.run(["mcopy", "-i", place, image, loader], check=True)

    for addon in addons:
        subprocess.run(["mcopy", "-i", place, addon, f"{loader}.extra.d/{addon.name}"], check=True)

    return ("-drive", f"if=none,format=raw,file={path},id=esp", "-device", "virtio-blk-pci,drive=esp,bootindex=1")


def smbios(machine: Machine) -> list[str]:
    """QEMU's options for a machine's strings; a comma is doubled."""
    kinds = {
        1: {"manufacturer": "manufacturer", "product": "product", "family": "family", "sku": "sku"},
        2: {"manufacturer": "baseboard_manufacturer", "product": "baseboard_product"},
    }
    options = []
    for kind, fields in kinds.items():
        texts = [f"{key}={getattr(machine, field).replace(',', ',,')}" for key, field in fields.items()]
        options += ["-smbios", ",".join([f"type={kind}", *texts])]
    return options
