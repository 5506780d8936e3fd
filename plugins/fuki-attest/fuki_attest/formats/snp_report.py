"""Attestation reports of SEV-SNP, versions 2 to 5.

Source: AMD, "SEV Secure Nested Paging Firmware ABI Specification" (56860) 1.58, 7.3: ATTESTATION_REPORT, TCB_VERSION,
and 4.3, the guest policy.
"""

from enum import IntEnum
from struct import Struct

import msgspec
from fuki_build.errors import FormatError
from fuki_build.formats.confidential import id_block

SIZE = 1184
SIGNED = 0x2A0
"""The bytes that the signature is over."""
VERSIONS = range(2, 6)
REPORT_DATA_AT, REPORT_DATA_SIZE = 0x50, 64
ECDSA_P384_SHA384 = 1

_LAYOUT = Struct("<IIQ16s16sIIQQII64s48s32s48s48s32s32s8sBBB21x64s8s3Bx3Bx8sQQ152x512s")
_FIRST_WITH_CPUID = 3
_FIRST_WITH_MITIGATIONS = 5
_KEY_BITS = 0x1F
"""Of the flags: author key, masked chip id, and three bits for the key that signed."""
_TURIN_FAMILY, _TURIN_CHIP_ID = 0x1A, 8


class SnpKey(IntEnum):
    """The key that signed a report, as its flags say."""

    VCEK = 0
    VLEK = 1
    NONE = 7


class SnpTcb(msgspec.Struct, frozen=True, kw_only=True):
    """Security versions of what the guest's trust rests on; `fmc` from Turin on only."""

    boot_loader: int
    tee: int
    snp: int
    microcode: int
    fmc: int | None = None

    def covers(self, other: "SnpTcb") -> bool:
        """Whether each version is at least that of the other."""
        return all((getattr(self, name) or 0) >= (getattr(other, name) or 0) for name in SnpTcb.__struct_fields__)


class SnpBuild(msgspec.Struct, frozen=True):
    """A version of the firmware."""

    major: int
    minor: int
    build: int


class SnpReport(msgspec.Struct, frozen=True, kw_only=True):
    """A report's fields; `cpuid` is family, model and stepping, from version 3 on.

    The mitigation vectors are there from version 5 on.
    """

    version: int
    guest_svn: int
    policy: int
    family_id: bytes
    image_id: bytes
    vmpl: int
    signature_algorithm: int
    current_tcb: SnpTcb
    platform_info: int
    author_key_enabled: bool
    chip_key_masked: bool
    signing_key: int
    report_data: bytes
    measurement: bytes
    host_data: bytes
    id_key_digest: bytes
    author_key_digest: bytes
    report_id: bytes
    report_id_ma: bytes
    reported_tcb: SnpTcb
    cpuid: tuple[int, int, int] | None
    chip_id: bytes
    committed_tcb: SnpTcb
    current_build: SnpBuild
    committed_build: SnpBuild
    launch_tcb: SnpTcb
    launch_mitigations: int | None
    current_mitigations: int | None
    signature: tuple[int, int]
    signed: bytes


def decode(data: bytes) -> SnpReport:
    """Raises `FormatError`, also for bytes in use that the report's version reserves."""
    if len(data) != SIZE:
        raise FormatError(f"an SNP report has {SIZE} bytes, not {len(data)}")

    fields = _LAYOUT.unpack(data)
    version, flags = fields[0], fields[9]
    if version not in VERSIONS:
        raise FormatError(f"the SNP report has version {version}, and 2 to 5 are known")

    _check_reserved(data, fields)
    cpuid = fields[19:22] if version >= _FIRST_WITH_CPUID else None
    turin = _is_turin(cpuid, chip_id=fields[22])
    mitigated = version >= _FIRST_WITH_MITIGATIONS

    return SnpReport(
        version=version,
        guest_svn=fields[1],
        policy=fields[2],
        family_id=fields[3],
        image_id=fields[4],
        vmpl=fields[5],
        signature_algorithm=fields[6],
        current_tcb=decode_tcb(fields[7].to_bytes(8, "little"), turin=turin),
        platform_info=fields[8],
        author_key_enabled=bool(flags & 1),
        chip_key_masked=bool(flags & 2),
        signing_key=flags >> 2 & 7,
        report_data=fields[11],
        measurement=fields[12],
        host_data=fields[13],
        id_key_digest=fields[14],
        author_key_digest=fields[15],
        report_id=fields[16],
        report_id_ma=fields[17],
        reported_tcb=decode_tcb(fields[18], turin=turin),
        cpuid=cpuid,
        chip_id=fields[22],
        committed_tcb=decode_tcb(fields[23], turin=turin),
        current_build=SnpBuild(fields[26], fields[25], fields[24]),
        committed_build=SnpBuild(fields[29], fields[28], fields[27]),
        launch_tcb=decode_tcb(fields[30], turin=turin),
        launch_mitigations=fields[31] if mitigated else None,
        current_mitigations=fields[32] if mitigated else None,
        signature=id_block.decode_signature(fields[33]),
        signed=data[:SIGNED],
    )


def _is_turin(cpuid: tuple[int, int, int] | None, chip_id: bytes) -> bool:
    """Whether versions are in Turin's order: of version 2, an id of eight bytes tells it (virtee's sev)."""
    if cpuid is not None:
        return cpuid[0] >= _TURIN_FAMILY
    return any(chip_id) and not any(chip_id[_TURIN_CHIP_ID:])


def _check_reserved(data: bytes, fields: tuple[int, ...]) -> None:
    version, flags, reserved = fields[0], fields[9], fields[10]
    in_use = _LAYOUT.pack(*fields) != data or reserved != 0 or flags & ~_KEY_BITS
    if version < _FIRST_WITH_CPUID:
        in_use = in_use or any(fields[19:22])
    if version < _FIRST_WITH_MITIGATIONS:
        in_use = in_use or any(fields[31:33])

    if in_use:
        raise FormatError(f"the SNP report of version {version} has reserved bytes that are not zero")
    if not fields[2] & 1 << 17:
        raise FormatError("the policy of the SNP report lacks the bit that is always set")


def decode_tcb(data: bytes, *, turin: bool) -> SnpTcb:
    """A TCB_VERSION of 8 bytes, whose order changed with Turin. Raises `FormatError` for reserved bytes in use."""
    reserved = data[4:7] if turin else data[2:6]
    if any(reserved):
        raise FormatError("a TCB version of the SNP report has reserved bytes that are not zero")
    if turin:
        return SnpTcb(fmc=data[0], boot_loader=data[1], tee=data[2], snp=data[3], microcode=data[7])
    return SnpTcb(boot_loader=data[0], tee=data[1], snp=data[6], microcode=data[7])
