"""VMSA: the initial registers of an SEV-ES or SEV-SNP guest's vCPU, as a page that is measured.

Source: AMD64 Architecture Programmer's Manual, volume 2, appendix B, table B-4.
"""

import struct
from collections.abc import Mapping
from struct import Struct
from types import MappingProxyType
from typing import NamedTuple

from fuki_build.errors import FormatError

SIZE = 0x1000


class Segment(NamedTuple):
    selector: int = 0
    attributes: int = 0
    limit: int = 0
    base: int = 0


Value = int | Segment

_SEGMENT = Struct("<HHIQ")
_U8, _U16, _U32, _U64 = Struct("<B"), Struct("<H"), Struct("<I"), Struct("<Q")

_SEGMENTS = ("es", "cs", "ss", "ds", "fs", "gs", "gdtr", "ldtr", "idtr", "tr")
_RUNS: tuple[tuple[int, Struct, str], ...] = (
    (0x0A0, _U64, "vmpl0_ssp vmpl1_ssp vmpl2_ssp vmpl3_ssp u_cet"),
    (0x0CA, _U8, "vmpl cpl"),
    (0x0D0, _U64, "efer"),
    (0x140, _U64, "xss cr4 cr3 cr0 dr7 dr6 rflags rip dr0 dr1 dr2 dr3"),
    (0x1A0, _U64, "dr0_addr_mask dr1_addr_mask dr2_addr_mask dr3_addr_mask"),
    (0x1D8, _U64, "rsp s_cet ssp isst_addr rax star lstar cstar sfmask kernel_gs_base"),
    (0x228, _U64, "sysenter_cs sysenter_esp sysenter_eip cr2"),
    (0x268, _U64, "g_pat dbgctl br_from br_to last_excp_from last_excp_to"),
    (0x2E8, _U32, "pkru tsc_aux"),
    (0x308, _U64, "rcx rdx rbx"),
    (0x328, _U64, "rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15"),
    (0x390, _U64, "guest_exit_info_1 guest_exit_info_2 guest_exit_int_info guest_nrip sev_features vintr_ctrl"),
    (0x3C0, _U64, "guest_exit_code virtual_tom tlb_id pcpu_id event_inj xcr0"),
    (0x400, _U64, "x87_dp"),
    (0x408, _U32, "mxcsr"),
    (0x40C, _U16, "x87_ftw x87_fsw x87_fcw x87_fop x87_ds x87_cs"),
    (0x418, _U64, "x87_rip"),
)

FIELDS: Mapping[str, tuple[int, Struct]] = MappingProxyType(
    {name: (number * _SEGMENT.size, _SEGMENT) for number, name in enumerate(_SEGMENTS)}
    | {
        name: (offset + number * layout.size, layout)
        for offset, layout, names in _RUNS
        for number, name in enumerate(names.split())
    }
)
"""Offset and layout of each field by name; the gaps are reserved or hold floating-point registers."""


def encode(fields: Mapping[str, Value]) -> bytes:
    """A page with these fields, zeros elsewhere. Raises `FormatError` for a value that does not fit."""
    page = bytearray(SIZE)
    for name, value in fields.items():
        offset, layout = FIELDS[name]
        try:
            layout.pack_into(page, offset, *(value if isinstance(value, Segment) else (value,)))
        except struct.error as error:
            raise FormatError(f"{value} does not fit into the VMSA's {name}") from error
    return bytes(page)


def decode(page: bytes) -> dict[str, Value]:
    """The non-zero fields of a page. Raises `FormatError` for data of another size."""
    if len(page) != SIZE:
        raise FormatError(f"a VMSA has {SIZE} bytes, not {len(page)}")

    fields: dict[str, Value] = {}
    for name, (offset, layout) in FIELDS.items():
        values = layout.unpack_from(page, offset)
        if any(values):
            fields[name] = Segment._make(values) if layout is _SEGMENT else values[0]

    return fields
