"""Evidence as guest-components' agents send it of SEV-SNP: what serde makes of virtee's `AttestationReport`.

Offsets are those of 56860, 7.3; names and nesting those of sev 4 (`old`) and sev 6.
"""

import json
from collections.abc import Sequence
from typing import Any

_ARRAYS = {
    "family_id": (0x10, 16),
    "image_id": (0x20, 16),
    "report_data": (0x50, 64),
    "measurement": (0x90, 48),
    "host_data": (0xC0, 32),
    "id_key_digest": (0xE0, 48),
    "author_key_digest": (0x110, 48),
    "report_id": (0x140, 32),
    "report_id_ma": (0x160, 32),
    "chip_id": (0x1A0, 64),
}
_NUMBERS = {
    "version": (0, 4),
    "guest_svn": (4, 4),
    "policy": (8, 8),
    "vmpl": (0x30, 4),
    "sig_algo": (0x34, 4),
    "plat_info": (0x40, 8),
}
_TCBS = {"current_tcb": 0x38, "reported_tcb": 0x180, "committed_tcb": 0x1E0, "launch_tcb": 0x1F0}
_TURIN = 0x1A


def snp_fields(report: bytes, *, old: bool = False) -> dict[str, Any]:
    """The object `attestation_report`."""
    turin = report[0] > 2 and report[0x188] >= _TURIN
    fields: dict[str, Any] = {name: list(report[at : at + size]) for name, (at, size) in _ARRAYS.items()}
    fields |= {name: int.from_bytes(report[at : at + size], "little") for name, (at, size) in _NUMBERS.items()}
    fields |= {name: _tcb(report[at : at + 8], turin=turin, old=old) for name, at in _TCBS.items()}
    fields["signature"] = {"r": list(report[0x2A0:0x2E8]), "s": list(report[0x2E8:0x330])}

    flags = int.from_bytes(report[0x48:0x4C], "little")
    if old:
        fields |= {"_author_key_en": flags, "_reserved_0": 0, "_reserved_1": [0] * 24, "_reserved_4": [0] * 168}
        for name, at in (("current", 0x1E8), ("committed", 0x1EC)):
            parts = zip(("build", "minor", "major"), report[at : at + 3], strict=True)
            fields |= {f"{name}_{part}": number for part, number in parts}
        fields["signature"]["_reserved"] = [0] * 368
        return fields

    fields["key_info"] = flags
    for number, name in enumerate(("cpuid_fam_id", "cpuid_mod_id", "cpuid_step")):
        fields[name] = report[0x188 + number] if report[0] > 2 else None
    for name, at in (("current", 0x1E8), ("committed", 0x1EC)):
        fields[name] = {"major": report[at + 2], "minor": report[at + 1], "build": report[at]}
    for name, at in (("launch_mit_vector", 0x1F8), ("current_mit_vector", 0x200)):
        fields[name] = int.from_bytes(report[at : at + 8], "little") if report[0] > 4 else None
    return fields


def snp_evidence(report: bytes, entries: Sequence[tuple[str, bytes]] | None, *, old: bool = False) -> bytes:
    """The whole, with certificates by kind."""
    chain = None if entries is None else [{"cert_type": kind, "data": list(data)} for kind, data in entries]
    return json.dumps({"attestation_report": snp_fields(report, old=old), "cert_chain": chain}).encode()


def _tcb(data: bytes, *, turin: bool, old: bool) -> dict[str, Any]:
    if turin:
        return {"fmc": data[0], "bootloader": data[1], "tee": data[2], "snp": data[3], "microcode": data[7]}
    legacy = {"bootloader": data[0], "tee": data[1], "snp": data[6], "microcode": data[7]}
    return {**legacy, "_reserved": [0] * 4} if old else {"fmc": None, **legacy}
