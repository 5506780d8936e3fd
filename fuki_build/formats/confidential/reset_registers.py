"""The registers that x64 vCPUs start firmware with: as KVM resets SEV-ES and SEV-SNP guests, and for native IGVM files.

Sources: KVM and QEMU (target/i386/cpu.c, x86_cpu_reset_hold; arch/x86/kvm/svm/sev.c, sev_es_sync_vmsa), whose values
virtee/sev-snp-measure has, too; edk2's OvmfPkg/ResetVector/Ia16/ResetVectorVtf0.asm for the start in protected mode.
"""

from collections.abc import Mapping
from types import MappingProxyType

from fuki_build.formats.confidential import vmsa
from fuki_build.formats.confidential.igvm import native_context
from fuki_build.formats.confidential.igvm.native_context import NativeRegisters
from fuki_build.formats.confidential.vmsa import Segment, Value

RESET_VECTOR = 0xFFFFFFF0
VMSA_ADDRESS = 0xFFFFFFFFF000
"""Guest address at which KVM measures every VMSA."""

_DATA, _NONE = Segment(0, 0x93, 0xFFFF), Segment(0, 0, 0xFFFF)
COMMON: Mapping[str, Value] = MappingProxyType(
    {
        **dict.fromkeys(("es", "ss", "ds", "fs", "gs"), _DATA),
        **dict.fromkeys(("gdtr", "idtr"), _NONE),
        "ldtr": Segment(0, 0x82, 0xFFFF),
        "tr": Segment(0, 0x8B, 0xFFFF),
        "efer": 0x1000,  # SVME
        "cr4": 0x40,  # MCE
        "cr0": 0x10,
        "dr7": 0x400,
        "dr6": 0xFFFF0FF0,
        "rflags": 0x2,
        "g_pat": 0x7040600070406,
        "xcr0": 0x1,
    }
)
"""What hypervisors have in common, in a VMSA's fields."""
QEMU: Mapping[str, Value] = MappingProxyType({"mxcsr": 0x1F80, "x87_fcw": 0x37F})
"""What QEMU sets besides."""


def real_mode_code(start: int, attributes: int = 0x9B) -> Mapping[str, Value]:
    """CS and IP of a vCPU that starts at `start` in real mode."""
    return {"cs": Segment(0xF000, attributes, 0xFFFF, start & 0xFFFF0000), "rip": start & 0xFFFF}


def snp_boot_page(cpu_signature: int) -> bytes:
    """The VMSA of a boot CPU at the reset vector, of an SEV-SNP guest with no further features under QEMU."""
    fields = {**COMMON, **QEMU, "rdx": cpu_signature, "sev_features": 1}
    return vmsa.encode({**fields, **real_mode_code(RESET_VECTOR)})


_PROTECTED_MODE_TEST = bytes.fromhex("0f20c0a801")
"""mov eax, cr0; test al, 1: a reset vector that takes a CPU in protected mode, too."""


def starts_in_protected_mode(reset_vector: bytes) -> bool:
    """Whether firmware with these last 16 bytes starts from `native_context`."""
    return reset_vector.startswith(_PROTECTED_MODE_TEST)


def native_boot_context() -> bytes:
    """The boot CPU at the reset vector in flat 32-bit mode, which IGVM's format can say without a segment's base."""
    return native_context.encode(
        NativeRegisters(
            rip=RESET_VECTOR,
            rflags=0x2,
            idtr_limit=0xFFFF,
            gdtr_limit=0xFFFF,
            code_selector=0x08,
            code_attributes=0xC09B,
            code_limit=0xFFFFFFFF,
            data_selector=0x10,
            data_attributes=0xC093,
            data_limit=0xFFFFFFFF,
            cr0=0x31,  # PE, ET, NE
        )
    )
