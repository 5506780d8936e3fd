"""What is measured: a recipe with its inputs, and the commands that build it."""

import os
import shutil
import sys
from collections.abc import Collection
from pathlib import Path

import parts

FIRMWARE = {"ovmf-generic": "qemu:q35", "ovmf-amdsev": "qemu:i440fx", "ovmf-inteltdx": None}
CHID = "c7352a90-6932-5bb7-b916-d272f6e71955"


def prepare(directory: Path, megabytes: int, firmware: Collection[str] = FIRMWARE) -> None:
    """A recipe and the same input for ukify, with an initrd of incompressible bytes."""
    shutil.copyfile(parts.get("stub-x64"), directory / "stub")
    shutil.copyfile(parts.get("kernel-x64"), directory / "vmlinuz")
    (directory / "os-release").write_text("ID=bench\n")

    with (directory / "initrd").open("wb") as file:
        for _ in range(megabytes):
            file.write(os.urandom(1_000_000))

    hwids = directory / "hwids"
    hwids.mkdir(exist_ok=True)

    recipe = [
        '[fuki]\nname = "bench"\n[fuki.image]\nstub = "stub"\nlinux = "vmlinuz"\ninitrd = "initrd"',
        'cmdline = "ro"\nos-release = "os-release"',
    ]

    for number, name in enumerate(firmware):
        place = directory / name
        place.mkdir(exist_ok=True)
        shutil.copyfile(parts.get(name), place / "OVMF.fd")
        chid = f"{number:08x}{CHID[8:]}"
        (hwids / f"{name}.json").write_text(
            f'{{"type": "uefi-fw", "name": "{name}", "fwid": "{name}", "hwids": ["{chid}"]}}'
        )
        recipe.append(f'[[fuki.firmware]]\nsource = "directory"\npath = "{name}"\nhwids = "hwids/{name}.json"')

    (directory / "fuki.toml").write_text("\n".join(recipe))


def fuki_command(*arguments: str) -> list[str]:
    return [str(Path(sys.executable).with_name("fuki")), *arguments]


def ukify_command(firmware: Collection[str] = FIRMWARE) -> list[str]:
    return [sys.executable, str(parts.get("ukify")), *ukify_options(firmware), "--output=ukify.efi"]


def ukify_options(firmware: Collection[str] = FIRMWARE) -> list[str]:
    """What both ukify and `fuki ukify` take."""
    options = ["build", "--stub=stub", "--linux=vmlinuz", "--initrd=initrd", "--cmdline=ro", "--os-release=@os-release"]
    return [*options, *(f"--efifw={name}" for name in firmware), *(["--hwids=hwids"] if firmware else [])]
