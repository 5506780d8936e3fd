"""Firmware for ARM, started alone on QEMU's machine `virt` with a TPM, and the log that it leaves in memory."""

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import parts
from fuki_qemu import guest

from fuki_build.formats.tcg import event_log
from fuki_build.formats.tcg.event_log import EventLog

_MEMORY = 256 << 20
_FLASH = 64 << 20
_LOG = 64 << 10
_FIRST_EVENT = re.compile(rb"\0{4}\x03\0{3}\0{20}....Spec ID Event03\0", re.DOTALL)
"""Register 0, EV_NO_ACTION, no SHA-1, the size and the start of the data."""
_SECONDS = 120
_DONE = b"No bootable option or device was found"


def log_of_firmware(firmware: Path, directory: Path) -> EventLog:
    """The event log of a guest that has no disk, at the end of its boot."""
    code, store, memory, console = (directory / name for name in ("code", "store", "memory", "console"))
    code.write_bytes(firmware.read_bytes().ljust(_FLASH, b"\0"))
    store.write_bytes(bytes(_FLASH))
    backend = f"memory-backend-file,id=ram,size={_MEMORY},share=on,mem-path={memory}"

    with TemporaryDirectory(dir=directory) as state, guest.tpm(Path(state)) as tpm:
        command: list[str | Path] = [
            *(parts.get("qemu-aarch64"), "-machine", "virt,memory-backend=ram", "-object", backend),
            *("-m", f"{_MEMORY >> 20}M", "-cpu", "max", "-accel", "tcg", "-nodefaults", "-display", "none"),
            *("-serial", f"file:{console}", "-no-reboot", "-net", "none"),
            *("-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={code}"),
            *("-drive", f"if=pflash,unit=1,format=raw,file={store}"),
            *("-chardev", f"socket,id=tpm,fd={tpm.fileno()}", "-tpmdev", "emulator,id=tpm,chardev=tpm"),
            *("-device", "tpm-tis-device,tpmdev=tpm"),
        ]
        process = subprocess.Popen(command, pass_fds=[tpm.fileno()])
        try:
            _wait_for_end(process, console)
        finally:
            process.kill()
            process.wait()

    return max(_logs(memory.read_bytes()), key=lambda log: len(log.events))


def _wait_for_end(process: "subprocess.Popen[bytes]", console: Path) -> None:
    for _ in range(_SECONDS * 4):
        time.sleep(0.25)
        said = console.read_bytes() if console.exists() else b""
        if _DONE in said or b"Shell>" in said or b"startup.nsh" in said:
            return
        assert process.poll() is None, said[-2000:]
    raise AssertionError(said[-2000:])


def _logs(memory: bytes) -> Iterator[EventLog]:
    for match in _FIRST_EVENT.finditer(memory):
        yield event_log.decode(memory[match.start() : match.start() + _LOG])
