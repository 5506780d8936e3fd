"""What real firmware says of many images under Secure Boot, in one guest."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from struct import pack

import parts

from fuki_build.formats.pe import pe
from fuki_build.testing import succeed

_HERE = Path(__file__).parent
_TOO_LONG = 300
"""Seconds that no boot takes, even on a busy machine."""
_CPU = "qemu64,-cx16"
_RELOCATIONS_STRIPPED = 0x0001
_REFUSALS = {0x800000000000001A: "Security Violation", 0x800000000000000F: "Access Denied"}
"""The statuses of LoadImage() for what may not start (UEFI 2.10, 7.4.1)."""

_COMPILE = (
    *("gcc", "-std=c11", "-Os", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-nostdlib", "-fno-stack-protector"),
    *("-fno-asynchronous-unwind-tables", "-fcf-protection=none", "-fpie", "-mno-red-zone", "-mgeneral-regs-only"),
)


def starts(directory: Path, images: Sequence[bytes], store: Path, keys: Path) -> list[bool]:
    """Whether OVMF of 2026.08 would start each image, with the variables of `store`.

    `keys` has the `db.key` and `db.pem` that sign the program that asks, which `store` trusts. Fails where firmware
    refuses an image for anything but its signatures.
    """
    loader = _loader(directory, images)
    succeed(directory, "sign", loader, "--key", keys / "db.key", "--certificate", keys / "db.pem")
    statuses = [int(line, 16) for line in _boot(directory, loader, store).split()]
    assert len(statuses) == len(images), f"{len(statuses)} of {len(images)} images were asked about"
    assert not {f"{status:#x}" for status in statuses if status and status not in _REFUSALS}
    return [not status for status in statuses]


def _loader(directory: Path, images: Sequence[bytes]) -> Path:
    """The program of load_images.c with the images inside."""
    packed = b"".join(pack("<QQ", len(image), 0) + image + bytes(-len(image) % 16) for image in images) + bytes(16)
    (directory / "images").write_bytes(packed)

    compiled, linked, plain = (directory / name for name in ("loader.o", "loader.elf", "loader.efi"))
    for command in (
        (*_COMPILE, "-c", "-o", compiled, _HERE / "load_images.c"),
        ("ld", "-nostdlib", "-pie", "--no-dynamic-linker", "-T", _HERE / "load_images.lds", "-o", linked, compiled),
        ("objcopy", "-O", "efi-app-x86_64", "--subsystem=10", "-j", ".text", linked, plain),
    ):
        subprocess.run(command, cwd=directory, check=True)

    data = plain.read_bytes()
    headers = pe.decode(data[: pe.HEAD_SIZE], len(data))
    # objcopy has no option for what says that the program may be loaded anywhere.
    characteristics = headers.coff.characteristics & ~_RELOCATIONS_STRIPPED

    coff = headers.coff._replace(characteristics=characteristics)
    head = pe.encode(
        pe.PeHeaders(
            dos=headers.dos,
            coff=coff,
            optional=headers.optional,
            directories=headers.directories,
            sections=headers.sections,
        )
    )

    plain.write_bytes(head + data[len(head) :])
    return plain


def _boot(directory: Path, loader: Path, store: Path) -> str:
    """What the program says."""
    disk, said, variables = (directory / name for name in ("esp.img", "said", "variables.fd"))
    with disk.open("wb") as file:
        file.truncate(64 * 1024 * 1024)

    subprocess.run(["mformat", "-i", disk, "-F", "::"], check=True)
    subprocess.run(["mmd", "-i", disk, "::/EFI", "::/EFI/BOOT"], check=True)
    subprocess.run(["mcopy", "-i", disk, loader, "::/EFI/BOOT/BOOTX64.EFI"], check=True)
    shutil.copyfile(store, variables)

    command = (
        *("timeout", str(_TOO_LONG), "qemu-system-x86_64", "-accel", "tcg", "-cpu", _CPU, "-m", "1G", "-nodefaults"),
        *("-display", "none", "-serial", "stdio", "-no-reboot"),
        *("-machine", "q35,smm=on", "-global", "driver=cfi.pflash01,property=secure,value=on"),
        *("-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={parts.get('ovmf-secboot')}"),
        *("-drive", f"if=pflash,unit=1,format=raw,file={variables}"),
        *("-drive", f"if=none,format=raw,file={disk},id=esp", "-device", "virtio-blk-pci,drive=esp,bootindex=1"),
        *("-chardev", f"file,id=said,path={said}", "-device", "isa-debugcon,iobase=0xE9,chardev=said"),
    )

    done = subprocess.run(command, capture_output=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout[-2000:].decode(errors="replace")
    return said.read_text()
