"""QEMU's stub for gdb: memory and registers of a guest that waits.

Source: "Debugging with GDB", appendix E; QEMU's gdbstub.c and gdb-xml/i386-64bit.xml.
"""

import socket

from fuki_build.errors import FukiError
from fuki_build.formats.confidential.igvm.native_context import NativeRegisters

_NUMBERS = {
    **{name: number for number, name in enumerate(("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp"))},
    **{f"r{number}": number for number in range(8, 16)},
    "rip": 16,
    "eflags": 17,
    "cs": 18,
    "ss": 19,
    "ds": 20,
    "es": 21,
    "fs": 22,
    "gs": 23,
    "cr0": 27,
}
_FOUR_BYTES = {"eflags", "cs", "ss", "ds", "es", "fs", "gs"}
_GENERAL = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", *(f"r{number}" for number in range(8, 16)))
_PROTECTED = 1
_PAGING = 1 << 31
_CHUNK = 1024
"""Bytes of memory in one packet: QEMU takes no more than 4096 characters, and drops longer ones."""
_TIMEOUT = 60.0
_REAL_MODE_CODE = 0xF000
_REAL_MODE_BASE = 0xFFFF0000


class GdbStub:
    """A connection; the guest must be stopped while it is used."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._rest = b""
        connection.settimeout(_TIMEOUT)
        # QEMU knows registers by number only once it was asked for what it has.
        self._ask("?")
        self._ask("qXfer:features:read:target.xml:0,ffb")

    def write(self, address: int, data: bytes, *, physical: bool = False) -> None:
        """Write memory: without `physical` as the CPU sees it, ROM included; with it, devices, too."""
        self._ask(f"Qqemu.PhyMemMode:{int(physical)}", "OK")
        for at in range(0, len(data), _CHUNK):
            part = data[at : at + _CHUNK]
            self._ask(f"M{address + at:x},{len(part):x}:{part.hex()}", "OK")

    def read(self, address: int, size: int) -> bytes:
        """Read memory by its physical address, devices included."""
        self._ask("Qqemu.PhyMemMode:1", "OK")
        parts = []
        for at in range(0, size, _CHUNK):
            answer = self._ask(f"m{address + at:x},{min(_CHUNK, size - at):x}")
            try:
                parts.append(bytes.fromhex(answer))
            except ValueError as error:
                raise FukiError(f"the guest has no memory at {address + at:#x}") from error
        return b"".join(parts)

    def set_registers(self, registers: NativeRegisters) -> None:
        """Give a CPU that was reset the registers of an IGVM file. Raises `FukiError` for what cannot be set so.

        gdb's protocol has no hidden parts of segments. A table at address 0, where GDTR points after a reset, brings
        those that a flat segment of 32 bits has; a CPU in real mode has them.
        """
        if registers.cr0 & _PAGING or registers.efer or registers.data_base:
            raise FukiError("the model starts no guest with paging on", hint="take real QEMU with vm-launch-update")
        if registers.cr0 & _PROTECTED:
            self._enter_protected_mode(registers)
        elif (registers.code_selector, registers.code_base) != (_REAL_MODE_CODE, _REAL_MODE_BASE):
            raise FukiError("the model starts guests in real mode at their reset vector only")
        for name in _GENERAL:
            self._set(name, getattr(registers, name))
        self._set("eflags", registers.rflags)
        self._set("rip", registers.rip)

    def _enter_protected_mode(self, registers: NativeRegisters) -> None:
        if registers.code_base:
            raise FukiError("the model starts guests in flat memory only")
        for selector, attributes, limit in (
            (registers.code_selector, registers.code_attributes, registers.code_limit),
            (registers.data_selector, registers.data_attributes, registers.data_limit),
        ):
            self.write(selector & ~7, _descriptor(attributes, limit))
        self._set("cr0", registers.cr0)
        self._set("cs", registers.code_selector)
        for name in ("ss", "ds", "es", "fs", "gs"):
            self._set(name, registers.data_selector)

    def _set(self, name: str, value: int) -> None:
        size = 4 if name in _FOUR_BYTES else 8
        self._ask(f"P{_NUMBERS[name]:x}={value.to_bytes(size, 'little').hex()}", "OK")

    def _ask(self, command: str, expected: str | None = None) -> str:
        try:
            self._connection.sendall(f"${command}#{sum(command.encode()) % 256:02x}".encode())
            answer = self._answer()
            while answer.startswith("T") and command != "?":
                answer = self._answer()  # The guest stopped meanwhile, which QEMU tells unasked.
            self._connection.sendall(b"+")
        except OSError as error:
            raise FukiError("QEMU's stub for gdb does not answer") from error
        if expected is not None and answer != expected:
            raise FukiError(f"QEMU's stub for gdb answers {answer!r} to {command[:40]!r}")
        return answer

    def _answer(self) -> str:
        while (at := self._rest.find(b"#")) < 0 or len(self._rest) < at + 3:
            more = self._connection.recv(65536)
            if not more:
                raise OSError("the connection has ended")
            self._rest += more
        packet, self._rest = self._rest[:at], self._rest[at + 3 :]
        return packet.partition(b"$")[2].decode("ascii", "replace")


def _descriptor(attributes: int, limit: int) -> bytes:
    """An entry of a GDT with base 0; `attributes` as IGVM has them: access rights, and flags in the high bits.

    Source: Intel SDM volume 3, 3.4.5.
    """
    units = limit >> 12 if attributes & 0x8000 else limit
    low = units & 0xFFFF
    high = (units & 0xF0000) | attributes << 8
    return (low | high << 32).to_bytes(8, "little")
