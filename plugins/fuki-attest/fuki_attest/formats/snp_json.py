"""SEV-SNP reports as agents of confidential containers send them: field by field in JSON, with certificates.

Sources: guest-components, attester/src/snp (SnpEvidence); virtee's sev, whose AttestationReport and CertTableEntry are
in it.
Releases of sev differ in how they nest versions and name reserved bytes; both forms are read. What was signed is the
hardware's own form, into which these fields are put back: a value that is not its own makes another digest.
"""

from collections.abc import Mapping
from struct import Struct as Layout
from typing import Annotated, Any

import msgspec
from fuki_build.errors import FormatError
from msgspec import Meta, Struct

Byte = Annotated[int, Meta(ge=0, le=255)]
Bytes = list[Byte]
_U32 = Annotated[int, Meta(ge=0, le=0xFFFFFFFF)]
_U64 = Annotated[int, Meta(ge=0)]
_REPORT = Layout("<IIQ16s16sII8sQI4x64s48s32s48s48s32s32s8sBBB21x64s8sBBBxBBBx8sQQ152x72s72s368x")
_MAX_CERTIFICATES = 16


class _Tcb(Struct, frozen=True, kw_only=True):
    bootloader: Byte
    tee: Byte
    snp: Byte
    microcode: Byte
    fmc: Byte | None = None

    def encode(self) -> bytes:
        """TCB_VERSION: Turin's order where there is an FMC."""
        if self.fmc is None:
            return bytes((self.bootloader, self.tee, 0, 0, 0, 0, self.snp, self.microcode))
        return bytes((self.fmc, self.bootloader, self.tee, self.snp, 0, 0, 0, self.microcode))


class _Version(Struct, frozen=True):
    major: Byte
    minor: Byte
    build: Byte


class _Signature(Struct, frozen=True):
    r: Bytes
    s: Bytes


class _Report(Struct, frozen=True, kw_only=True):
    """Fields of both forms; `key_info` and nested versions are the newer one's."""

    version: _U32
    guest_svn: _U32
    policy: _U64
    family_id: Bytes
    image_id: Bytes
    vmpl: _U32
    sig_algo: _U32
    current_tcb: _Tcb
    plat_info: _U64
    key_info: _U32 | None = None
    author_key: _U32 = msgspec.field(default=0, name="_author_key_en")
    report_data: Bytes
    measurement: Bytes
    host_data: Bytes
    id_key_digest: Bytes
    author_key_digest: Bytes
    report_id: Bytes
    report_id_ma: Bytes
    reported_tcb: _Tcb
    cpuid_fam_id: Byte | None = None
    cpuid_mod_id: Byte | None = None
    cpuid_step: Byte | None = None
    chip_id: Bytes
    committed_tcb: _Tcb
    current: _Version | None = None
    committed: _Version | None = None
    current_build: Byte = 0
    current_minor: Byte = 0
    current_major: Byte = 0
    committed_build: Byte = 0
    committed_minor: Byte = 0
    committed_major: Byte = 0
    launch_tcb: _Tcb
    launch_mit_vector: _U64 | None = None
    current_mit_vector: _U64 | None = None
    signature: _Signature

    def encode(self) -> bytes:
        """ATTESTATION_REPORT. Raises `FormatError` for a field of another size."""
        current = self.current or _Version(self.current_major, self.current_minor, self.current_build)
        committed = self.committed or _Version(self.committed_major, self.committed_minor, self.committed_build)
        return _REPORT.pack(
            self.version,
            self.guest_svn,
            _u64(self.policy),
            self._bytes("family_id", 16),
            self._bytes("image_id", 16),
            self.vmpl,
            self.sig_algo,
            self.current_tcb.encode(),
            _u64(self.plat_info),
            self.author_key if self.key_info is None else self.key_info,
            self._bytes("report_data", 64),
            self._bytes("measurement", 48),
            self._bytes("host_data", 32),
            self._bytes("id_key_digest", 48),
            self._bytes("author_key_digest", 48),
            self._bytes("report_id", 32),
            self._bytes("report_id_ma", 32),
            self.reported_tcb.encode(),
            self.cpuid_fam_id or 0,
            self.cpuid_mod_id or 0,
            self.cpuid_step or 0,
            self._bytes("chip_id", 64),
            self.committed_tcb.encode(),
            *(current.build, current.minor, current.major),
            *(committed.build, committed.minor, committed.major),
            self.launch_tcb.encode(),
            _u64(self.launch_mit_vector or 0),
            _u64(self.current_mit_vector or 0),
            _sized("signature.r", self.signature.r, 72),
            _sized("signature.s", self.signature.s, 72),
        )

    def _bytes(self, name: str, size: int) -> bytes:
        return _sized(name, getattr(self, name), size)


class _Entry(Struct, frozen=True):
    """`cert_type` is a name, or an object for what the host calls otherwise."""

    cert_type: str | Mapping[str, str]
    data: Bytes


class _Evidence(Struct, frozen=True):
    attestation_report: _Report
    cert_chain: list[_Entry] | None = None


class SnpEvidence(Struct, frozen=True):
    """A report in the hardware's form, and the host's certificates by kind (`VCEK`, `VLEK`, `ASK`, `ARK`, `CRL`)."""

    report: bytes
    entries: tuple[tuple[str, bytes], ...]


def decode(document: Mapping[str, Any]) -> SnpEvidence:
    """Raises `FormatError`, also for entries beyond belief; those of kinds without a name are left out."""
    try:
        evidence = msgspec.convert(document, _Evidence)
    except msgspec.ValidationError as error:
        raise FormatError(f"this is no evidence of an agent: {error}") from error

    entries = evidence.cert_chain or []
    if len(entries) > _MAX_CERTIFICATES:
        raise FormatError(f"{len(entries)} certificates are beyond belief (limit {_MAX_CERTIFICATES})")
    named = [(entry.cert_type, bytes(entry.data)) for entry in entries if isinstance(entry.cert_type, str)]
    return SnpEvidence(evidence.attestation_report.encode(), tuple((kind, data) for kind, data in named if data))


def _sized(name: str, values: Bytes, size: int) -> bytes:
    if len(values) != size:
        raise FormatError(f"{name} of the report has {len(values)} bytes, not {size}")
    return bytes(values)


def _u64(value: int) -> int:
    if value >= 1 << 64:
        raise FormatError(f"a field of 64 bits of the report is {value}")
    return value
