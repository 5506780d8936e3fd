"""The model of vm-launch-update put into a QEMU without it: a library that is loaded before it, and its other end."""

import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from threading import Thread

from fuki_build.errors import FormatError, FukiError

from fuki_qemu import tools
from fuki_qemu.host import launch_update
from fuki_qemu.host.launch_update import LaunchUpdate

_SOURCE = Path(__file__).with_name("device.c")
_FLAGS = ("-std=c11", "-O2", "-Wall", "-shared", "-fPIC")
_CHANNEL = "FUKI_LAUNCH_UPDATE"
_SELECTED, _WRITTEN = b"S", b"W"
_READ, _DONE = b"R", b"D"


def build_library(directory: Path) -> Path:
    """Compile the library with this machine's compiler. Raises `FukiError`."""
    tools.need(tools.COMPILER)
    library = directory / "vm-launch-update.so"
    command = [tools.COMPILER, *_FLAGS, "-o", str(library), str(_SOURCE), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise FukiError(f"{tools.COMPILER} cannot compile {_SOURCE.name}: {done.stderr.strip()}")
    return library


def environment(library: Path, descriptor: int) -> Mapping[str, str]:
    """What QEMU is to be started with, beside what it gets anyway."""
    return {"LD_PRELOAD": str(library), _CHANNEL: str(descriptor)}


class DeviceServer:
    """Answers what a guest does to the file, in a thread of its own, until QEMU ends.

    The guest's CPU waits meanwhile, so whoever has stopped the guest may use `model`.
    """

    def __init__(self, model: LaunchUpdate, connection: socket.socket) -> None:
        self.model = model
        self.is_registered = False
        """Whether QEMU has the file."""
        self._connection = connection
        self._thread = Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        try:
            while event := self._connection.recv(1):
                if event == _WRITTEN:
                    content = self.model.write(self._receive(launch_update.SIZE), self._read_memory)
                else:
                    content = self.model.select()
                    self.is_registered = True
                self._connection.sendall(_DONE + content)
        except (OSError, FormatError):
            # QEMU has ended, in the middle of whatever it was.
            self._connection.close()

    def _read_memory(self, address: int, size: int) -> bytes | None:
        self._connection.sendall(_READ + address.to_bytes(8, "little") + size.to_bytes(8, "little"))
        return None if self._receive(1) != b"\0" else self._receive(size)

    def _receive(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            more = self._connection.recv(min(1 << 20, size - len(data)))
            if not more:
                raise OSError("QEMU has ended")
            data += more
        return bytes(data)
