"""A native IGVM file in a QEMU that knows none: pages through QEMU's loader, registers through its stub for gdb.

This is a model of what `-machine igvm-cfg` does, read with the tests' own decoder.
"""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from struct import pack, unpack_from
from threading import Event, Thread

from fuki_build.testing.igvm import decode_contexts, decode_pages

_NUMBERS = {"rip": 16, "eflags": 17, "cs": 18, "ss": 19, "ds": 20, "es": 21, "fs": 22, "gs": 23, "cr0": 27}
"""QEMU's numbers of the registers of an x64 CPU (gdb-xml/i386-64bit.xml)."""
_TOO_LONG = 60


def pages(file: bytes, mask: int, directory: Path) -> list[str]:
    """QEMU's options that put a platform's pages into memory: the firmware as such, others by the generic loader."""
    runs: list[tuple[int, bytearray]] = []
    for address, content in sorted(decode_pages(file, mask)):
        if runs and runs[-1][0] + len(runs[-1][1]) == address:
            runs[-1][1].extend(content)
        else:
            runs.append((address, bytearray(content)))

    options = []
    for address, run in runs:
        path = directory / f"{address:x}.bin"
        path.write_bytes(run)
        if address + len(run) == 1 << 32:
            options += ["-bios", str(path)]
        else:
            options += ["-device", f"loader,file={path},addr={address:#x},force-raw=on"]

    return options


@contextmanager
def registers(file: bytes, mask: int, directory: Path) -> Iterator[list[str]]:
    """QEMU's options for a CPU that waits, and meanwhile a thread that lets it go with the file's registers."""
    (context,) = decode_contexts(file, mask)
    path = directory / "gdb"
    released = Event()

    def release() -> None:
        with _connect(path) as stub:
            _set(stub, context)
            released.set()
            while stub.recv(4096):
                pass  # until the guest ends

    thread = Thread(target=release, daemon=True)
    thread.start()
    yield ["-S", "-gdb", f"unix:{path},server=on,wait=off"]
    thread.join(_TOO_LONG)
    assert released.is_set(), "the registers were not set"


def _connect(path: Path) -> socket.socket:
    stub = socket.socket(socket.AF_UNIX)
    end = time.monotonic() + _TOO_LONG
    while True:
        try:
            stub.connect(str(path))
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return stub


def _ask(stub: socket.socket, command: str) -> str:
    stub.sendall(f"${command}#{sum(command.encode()) % 256:02x}".encode())
    answer = b""
    while b"#" not in answer[:-2]:
        answer += stub.recv(4096)
    stub.sendall(b"+")
    return answer.partition(b"$")[2].partition(b"#")[0].decode()


def _set(stub: socket.socket, context: bytes) -> None:
    """gdb's protocol has no hidden parts of segments: a table at address 0, where GDTR points, brings them."""
    rip, rflags = unpack_from("<QQ", context, 128)
    code, code_attributes, code_base, code_limit = unpack_from("<HHII", context, 168)
    data, data_attributes, data_base, data_limit = unpack_from("<HHII", context, 180)
    (cr0,) = unpack_from("<Q", context, 200)
    assert cr0 & 1, "this model starts in protected mode"
    assert code_base == data_base == 0

    _ask(stub, "?")
    _ask(stub, "qXfer:features:read:target.xml:0,ffb")
    for selector, attributes, limit in ((code, code_attributes, code_limit), (data, data_attributes, data_limit)):
        low, high = limit >> 12 & 0xFFFF, (limit >> 28 << 16) | attributes << 8
        assert _ask(stub, f"M{selector:x},8:{pack('<HHI', low, 0, high).hex()}") == "OK"
    segments = dict.fromkeys(("ss", "ds", "es", "fs", "gs"), data)
    for name, value in {"cr0": cr0, "cs": code, **segments, "eflags": rflags, "rip": rip}.items():
        size = 8 if name in ("cr0", "rip") else 4
        assert _ask(stub, f"P{_NUMBERS[name]:x}={value.to_bytes(size, 'little').hex()}") == "OK", name
    stub.sendall(b"$c#63")
