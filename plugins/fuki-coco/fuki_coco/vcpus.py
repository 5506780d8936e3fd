"""The initial registers of vCPUs, as each hypervisor sets them.

Source: for EC2 and GCE what virtee/sev-snp-measure found on them; the core has what all share. The x87 control
word of an SVSM guest is QEMU's 0x37f, as on hardware; sev-snp-measure 0.0.13 leaves it at 0.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from fuki_build.errors import RecipeError
from fuki_build.formats.confidential import vmsa
from fuki_build.formats.confidential.reset_registers import COMMON, QEMU, RESET_VECTOR, real_mode_code
from fuki_build.formats.confidential.vmsa import Segment, Value


class Vmm(StrEnum):
    """The hypervisors with different measurements."""

    QEMU = "qemu"
    EC2 = "ec2"
    GCE = "gce"
    HYPERV = "hyperv"


_CLOUD_RDX = 0x600
"""The value in EC2 and GCE where QEMU has the CPU signature."""
_BY_VMM: Mapping[str, Mapping[str, Value]] = MappingProxyType(
    {
        Vmm.QEMU: QEMU,
        Vmm.EC2: {"ss": Segment(0, 0x92, 0xFFFF), "tr": Segment(0, 0x83, 0xFFFF), "rdx": _CLOUD_RDX},
        Vmm.GCE: {"g_pat": 0x00070106, "rdx": _CLOUD_RDX},
    }
)
_FLAT = Segment(16, 0xC93, 0xFFFFFFFF)
_SVSM: Mapping[str, Value] = MappingProxyType(
    {
        **dict.fromkeys(("es", "ss", "ds", "fs"), _FLAT),
        "cs": Segment(8, 0xC9B, 0xFFFFFFFF),
        "cr0": 0x11,
        "sev_features": 1,
    }
)


def knows_cpu_model(vmm: str) -> bool:
    """Whether this hypervisor's measurement includes the CPU model."""
    return vmm == Vmm.QEMU


def register_page(vmm: str, start: int, cpu_signature: int, guest_features: int) -> bytes:
    """The VMSA of a vCPU that starts at `start` in real mode. Raises `RecipeError` for an unknown hypervisor."""
    if vmm not in _BY_VMM:
        raise RecipeError(f"how {vmm!r} starts the vCPUs of firmware that is no IGVM file is not known")

    # EC2's code segment is not marked as accessed at the reset vector.
    attributes = 0x9A if vmm == Vmm.EC2 and start == RESET_VECTOR else 0x9B

    fields: dict[str, Value] = {
        **COMMON,
        "rdx": cpu_signature,
        "sev_features": guest_features,
        **_BY_VMM[vmm],
        **real_mode_code(start, attributes),
    }

    return vmsa.encode(fields)


def svsm_page(start: int, cpu_signature: int) -> bytes:
    """The VMSA of a vCPU that starts in an SVSM, in flat protected mode; QEMU starts all of them so."""
    return vmsa.encode({**COMMON, **QEMU, **_SVSM, "rip": start, "rdx": cpu_signature})
