"""The virtual machine: QEMU's command line."""

import os
from collections.abc import Iterator
from pathlib import Path

from fuki_build.errors import RecipeError
from msgspec import Struct

from fuki_qemu.tools import QEMU

PROBE_PORT = "fuki.probe"
_DEBUG_PORT = 0xE9
STUB_CONSOLE = "console=uart,io,0x3f8 console=hvc0"
"""What systemd-stub 262 appends to a command line without `console=` on this machine, with a port for the report.

Measured; the second one is for the virtual serial bus that the port is on.
"""
# QEMU 7.2 emulates cmpxchg16b wrongly now and then on a busy host, and kernels use it to allocate memory.
_EMULATED = ("-accel", "tcg", "-cpu", "qemu64,-cx16")
_VIRTUALISED = ("-accel", "kvm", "-cpu", "host")


class VirtualMachine(Struct, frozen=True, kw_only=True):
    """A guest's parts; paths that are None are left out. `direct` is an image for `-kernel`, given `options`."""

    firmware: tuple[str, ...]
    smbios: tuple[str, ...] = ()
    memory: str = "1G"
    smm: bool = False
    disk: Path | None = None
    direct: Path | None = None
    options: str | None = None
    tpm: int | None = None
    """A descriptor of swtpm's control socket."""
    report: Path | None = None
    """Where what the initrd's probe tells is written."""
    debug: Path | None = None
    """Where what comes through the debug port is written."""


def has_kvm(device: Path = Path("/dev/kvm")) -> bool:
    """Whether this user can use KVM."""
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def check_memory(text: str) -> str:
    """A size as QEMU takes it, for instance 2G. Raises `RecipeError`."""
    number, unit = (text[:-1], text[-1]) if text[-1:].upper() in {"M", "G"} else (text, "M")
    if not (number.isascii() and number.isdecimal() and int(number) * (1024 if unit.upper() == "G" else 1) >= 64):
        raise RecipeError(f"{text!r} is no size of memory", where="--memory", hint="for instance 512M or 2G")
    return text


def memory_size(text: str) -> int:
    """A size that `check_memory` takes, in bytes."""
    unit = text[-1:].upper()
    number = check_memory(text)[:-1] if unit in {"M", "G"} else text
    return int(number) << (30 if unit == "G" else 20)


def flash(code: Path, store: Path | None) -> tuple[str, ...]:
    """Options for code and variables in flash; without a store, both are in `code`, which is written to."""
    if store is None:
        return ("-drive", f"if=pflash,unit=0,format=raw,file={quote(code)}")
    return (
        *("-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={quote(code)}"),
        *("-drive", f"if=pflash,unit=1,format=raw,file={quote(store)}"),
    )


def rom(code: Path) -> tuple[str, ...]:
    return ("-bios", str(code))


def quote(path: Path) -> str:
    """A path within an option's value."""
    return str(path).replace(",", ",,")


def command(machine: VirtualMachine, *, kvm: bool) -> list[str]:
    """QEMU's command line; the serial port is its standard input and output."""
    smm = "on" if machine.smm else "off"
    return [
        *(QEMU, "-machine", f"q35,smm={smm}", *(_VIRTUALISED if kvm else _EMULATED), "-m", machine.memory),
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-chardev", "stdio,signal=on,id=console", "-serial", "chardev:console"),
        *(("-global", "driver=cfi.pflash01,property=secure,value=on") if machine.smm else ()),
        *machine.firmware,
        *machine.smbios,
        *_image(machine),
        *_devices(machine),
    ]


def _image(machine: VirtualMachine) -> Iterator[str]:
    if machine.disk:
        yield from ("-drive", f"if=none,id=esp,format=raw,file={quote(machine.disk)}")
        # With an index, firmware would forget the boot option that we gave it.
        index = "" if machine.options is not None else ",bootindex=1"
        yield from ("-device", f"virtio-blk-pci,drive=esp{index}")
    elif machine.direct:
        yield from ("-kernel", str(machine.direct))
        if machine.options is not None:
            yield from ("-append", machine.options)


def _devices(machine: VirtualMachine) -> Iterator[str]:
    if machine.tpm is not None:
        yield from ("-chardev", f"socket,id=tpm,fd={machine.tpm}", "-tpmdev", "emulator,id=tpm,chardev=tpm")
        yield from ("-device", "tpm-tis,tpmdev=tpm")
    if machine.report:
        yield from ("-device", "virtio-serial-pci", "-chardev", f"file,id=report,path={quote(machine.report)}")
        yield from ("-device", f"virtserialport,chardev=report,name={PROBE_PORT}")
    if machine.debug:
        yield from ("-chardev", f"file,id=debug,path={quote(machine.debug)}")
        yield from ("-device", f"isa-debugcon,iobase={_DEBUG_PORT:#x},chardev=debug")
