"""sev-snp-measure as an oracle for launch digests; the package must be installed."""

from pathlib import Path

from sevsnpmeasure import guest
from sevsnpmeasure.sev_mode import SevMode
from sevsnpmeasure.vcpu_types import CPU_SIGS
from sevsnpmeasure.vmm_types import VMMType

from fuki_build.hooks import LaunchDigest

MODES = {"sev": SevMode.SEV, "sev-es": SevMode.SEV_ES, "sev-snp": SevMode.SEV_SNP}
VMMS = {"qemu": VMMType.QEMU, "ec2": VMMType.ec2, "gce": VMMType.gce}


def peer_digest(  # noqa: PLR0913, PLR0917 - all that a digest depends on
    technology: str,
    firmware: Path,
    vmm: str,
    vcpus: int,
    cpu_model: str | None,
    guest_features: int,
    kernel: str = "",
    initrd: str = "",
    cmdline: str = "",
) -> str:
    """What sev-snp-measure says, in hex."""
    signature = CPU_SIGS[cpu_model] if cpu_model else 0
    digest: bytes = guest.calc_launch_digest(
        MODES[technology],
        vcpus,
        signature,
        str(firmware),
        kernel,
        initrd,
        cmdline,
        guest_features,
        vmm_type=VMMS[vmm],
    )
    return digest.hex()


def peer_digest_of(digest: LaunchDigest, firmware: Path, *boot: str) -> str:
    """What sev-snp-measure says of the launch that a digest is of."""
    return peer_digest(
        digest.technology,
        firmware,
        digest.vmm or "qemu",
        digest.vcpus or 1,
        digest.cpu_model,
        digest.guest_features or 1,
        *boot,
    )
