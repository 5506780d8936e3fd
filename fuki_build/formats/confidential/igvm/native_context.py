"""The registers that a vCPU of a native (not confidential) x64 guest starts with.

Source: microsoft/igvm, igvm_defs (IgvmNativeVpContextX64); QEMU's target/i386/igvm.c reads the same.
"""

import struct
from struct import Struct
from typing import NamedTuple

from fuki_build.errors import FormatError
from fuki_build.formats.reader import unpack

_CONTEXT = Struct("<18Q QH4xHQ HHII HHII 5Q")
SIZE = _CONTEXT.size


class NativeRegisters(NamedTuple):
    """One field for each of the format's, in its order; `code_*` is CS, `data_*` every other segment."""

    rax: int = 0
    rcx: int = 0
    rdx: int = 0
    rbx: int = 0
    rsp: int = 0
    rbp: int = 0
    rsi: int = 0
    rdi: int = 0
    r8: int = 0
    r9: int = 0
    r10: int = 0
    r11: int = 0
    r12: int = 0
    r13: int = 0
    r14: int = 0
    r15: int = 0
    rip: int = 0
    rflags: int = 0
    idtr_base: int = 0
    idtr_limit: int = 0
    gdtr_limit: int = 0
    gdtr_base: int = 0
    code_selector: int = 0
    code_attributes: int = 0
    code_base: int = 0
    code_limit: int = 0
    data_selector: int = 0
    data_attributes: int = 0
    data_base: int = 0
    data_limit: int = 0
    gs_base: int = 0
    cr0: int = 0
    cr3: int = 0
    cr4: int = 0
    efer: int = 0


def encode(registers: NativeRegisters) -> bytes:
    """`SIZE` bytes. Raises `FormatError` for a value that does not fit."""
    try:
        return _CONTEXT.pack(*registers)
    except struct.error as error:
        raise FormatError("a register's value does not fit into the context of a native vCPU") from error


def decode(data: bytes) -> NativeRegisters:
    """Raises `FormatError` for data that are too short; what is behind them is left alone."""
    return NativeRegisters._make(unpack(_CONTEXT, data, 0, "the context of a native vCPU"))
