"""Registers of a waiting guest's TPM, read as its firmware would: through the interface in memory.

Sources: TCG PC Client Platform TPM Profile, 6.5 (TIS); TPM 2.0 Library, part 3, 22.4 (TPM2_PCR_Read).
"""

import struct
import time
from collections.abc import Iterable, Mapping
from hashlib import new

from fuki_build.errors import FukiError

from fuki_qemu.host.gdb import GdbStub

_BASE = 0xFED40000
_ACCESS, _STATUS, _FIFO = _BASE, _BASE + 0x18, _BASE + 0x24
_REQUEST_USE, _ACTIVE_LOCALITY = 0x02, 0x20
_COMMAND_READY, _GO, _DATA_AVAILABLE = 0x40, 0x20, 0x10
_ALGORITHMS = {"sha1": 0x0004, "sha256": 0x000B, "sha384": 0x000C, "sha512": 0x000D}
_HEADER = struct.Struct(">HII")
_NO_SESSIONS, _PCR_READ = 0x8001, 0x017E
_SELECTION = struct.Struct(">IHB3s")
_AT_ONCE = 8
"""Registers that one command reads."""
_MAX_RESPONSE = 4096
_PATIENCE = 10.0
"""Seconds that the TPM may take."""


def read(stub: GdbStub, numbers: Iterable[int], banks: Iterable[str]) -> Mapping[str, Mapping[int, bytes]]:
    """The registers by bank and number; banks that the TPM does not have are left out. Raises `FukiError`."""
    wanted = sorted(numbers)
    stub.write(_ACCESS, bytes([_REQUEST_USE]), physical=True)
    if not stub.read(_ACCESS, 1)[0] & _ACTIVE_LOCALITY:
        raise FukiError("the guest's TPM does not answer")
    registers: dict[str, dict[int, bytes]] = {}
    for bank in banks:
        for at in range(0, len(wanted), _AT_ONCE):
            chosen = wanted[at : at + _AT_ONCE]
            digests = _decode(_ask(stub, _command(bank, chosen)), new(bank, usedforsecurity=False).digest_size)
            if len(digests) == len(chosen):
                registers.setdefault(bank, {}).update(zip(chosen, digests, strict=True))
    return registers


def _command(bank: str, numbers: Iterable[int]) -> bytes:
    bits = sum(1 << number for number in numbers)
    selection = _SELECTION.pack(1, _ALGORITHMS[bank], 3, bits.to_bytes(3, "little"))
    return _HEADER.pack(_NO_SESSIONS, _HEADER.size + len(selection), _PCR_READ) + selection


def _ask(stub: GdbStub, command: bytes) -> bytes:
    stub.write(_STATUS, bytes([_COMMAND_READY]), physical=True)
    _wait_for(stub, _COMMAND_READY)
    for at in range(0, len(command), 4):
        stub.write(_FIFO, command[at : at + 4], physical=True)
    stub.write(_STATUS, bytes([_GO]), physical=True)
    _wait_for(stub, _DATA_AVAILABLE)
    response = stub.read(_FIFO, 4) + stub.read(_FIFO, 4) + stub.read(_FIFO, 2)
    size = min(_HEADER.unpack(response)[1], _MAX_RESPONSE)
    while len(response) < size:
        response += stub.read(_FIFO, min(4, size - len(response)))
    stub.write(_STATUS, bytes([_COMMAND_READY]), physical=True)
    return response


def _wait_for(stub: GdbStub, bit: int) -> None:
    end = time.monotonic() + _PATIENCE
    while not stub.read(_STATUS, 1)[0] & bit:
        if time.monotonic() > end:
            raise FukiError("the guest's TPM does not answer")
        time.sleep(0.001)


def _decode(response: bytes, size: int) -> list[bytes]:
    """The digests of an answer to TPM2_PCR_Read; none where the TPM refuses, or has no such bank."""
    _, _, code = _HEADER.unpack_from(response)
    at = _HEADER.size + 4 + _SELECTION.size
    if code or len(response) < at + 4:
        return []
    (count,) = struct.unpack_from(">I", response, at)
    at += 4
    digests = [response[start + 2 : start + 2 + size] for start in range(at, at + count * (2 + size), 2 + size)]
    return [digest for digest in digests if len(digest) == size]
