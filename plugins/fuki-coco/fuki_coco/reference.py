"""Reference values in the formats of attestation services."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from fuki_build.hooks import LaunchDigest, LaunchRecord, encode_json

_TRUSTEE = {("sev-snp", "MEASUREMENT"): "snp_launch_measurement", ("tdx", "MRTD"): "mr_td"}
_ZEROS = "0" * 96
"""RTMR3 until something in the guest extends it."""


def _digests(records: Sequence[LaunchRecord]) -> Iterator[tuple[LaunchRecord, LaunchDigest]]:
    return ((record, digest) for record in records for digest in record.prediction.digests)


def trustee_values(records: Sequence[LaunchRecord]) -> Mapping[str, list[str]]:
    """Values in hex, each once, by their names in Trustee's policies."""
    by_name: dict[str, dict[str, None]] = {}
    for _, digest in _digests(records):
        name = _TRUSTEE.get((digest.technology, digest.register))
        if digest.technology == "tdx" and digest.register.startswith("RTMR"):
            name = f"rtmr_{digest.register.removeprefix('RTMR')}"
        if name is not None:
            by_name.setdefault(name, {})[digest.digest] = None

    return {name: list(values) for name, values in sorted(by_name.items())}


def trustee_message(records: Sequence[LaunchRecord]) -> bytes:
    """A message for Trustee's Reference Value Provider Service, of its `sample` kind.

    Source: confidential-containers/trustee, rvps/src/extractors/sample.
    """
    payload = base64.b64encode(msgspec.json.encode(trustee_values(records))).decode()
    return encode_json({"version": "0.1.0", "type": "sample", "payload": payload})


def contrast_manifest(records: Sequence[LaunchRecord]) -> bytes:
    """The `ReferenceValues` of a Contrast manifest; values that are not predicted are left empty, to be filled in.

    Source: edgelesssys/contrast, internal/manifest.
    """
    snp = [digest.digest for _, digest in _digests(records) if digest.technology == "sev-snp"]
    values: dict[str, Any] = {"snp": [{"TrustedMeasurement": digest} for digest in dict.fromkeys(snp)]}
    values["tdx"] = []

    for record in records:
        tdx_digests = [digest for digest in record.prediction.digests if digest.technology == "tdx"]

        # RTMRs depend on the boot, MRTD does not: each MRTD is listed with the RTMRs of every boot.
        boots: dict[str | None, dict[str, str]] = {}
        for digest in tdx_digests:
            if digest.register != "MRTD":
                boots.setdefault(digest.boot, {})[digest.register] = digest.digest

        values["tdx"] += [
            {"MrTd": mrtd, "Rtmrs": ["", rtmrs.get("RTMR1", ""), rtmrs.get("RTMR2", ""), _ZEROS]}
            for mrtd in (digest.digest for digest in tdx_digests if digest.register == "MRTD")
            for rtmrs in boots.values() or ({},)
        ]
    return encode_json({"ReferenceValues": values})
