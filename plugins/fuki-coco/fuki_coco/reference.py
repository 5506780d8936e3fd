"""Reference values in the forms that attestation services read."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from fuki_build.hooks import LaunchDigest, LaunchRecord, encode_json

_TRUSTEE = {("sev-snp", "MEASUREMENT"): "snp_launch_measurement", ("tdx", "MRTD"): "mr_td"}
_ZEROS = "0" * 96
"""RTMR3 as long as nothing in the guest extends it."""


def _digests(records: Sequence[LaunchRecord]) -> Iterator[tuple[LaunchRecord, LaunchDigest]]:
    return ((record, digest) for record in records for digest in record.prediction.digests)


def trustee_values(records: Sequence[LaunchRecord]) -> Mapping[str, list[str]]:
    """Values by the names that Trustee's policies have for them, in hex, each once."""
    found: dict[str, dict[str, None]] = {}
    for _, digest in _digests(records):
        name = _TRUSTEE.get((digest.technology, digest.register))
        if digest.technology == "tdx" and digest.register.startswith("RTMR"):
            name = f"rtmr_{digest.register.removeprefix('RTMR')}"
        if name is not None:
            found.setdefault(name, {})[digest.digest] = None
    return {name: list(values) for name, values in sorted(found.items())}


def trustee_message(records: Sequence[LaunchRecord]) -> bytes:
    """A message for Trustee's Reference Value Provider Service, of its `sample` kind.

    Source: confidential-containers/trustee, rvps/src/extractors/sample.
    """
    payload = base64.b64encode(msgspec.json.encode(trustee_values(records))).decode()
    return encode_json({"version": "0.1.0", "type": "sample", "payload": payload})


def contrast_manifest(records: Sequence[LaunchRecord]) -> bytes:
    """The `ReferenceValues` of a Contrast manifest; what is not predicted of it is left empty, to be filled in.

    Source: edgelesssys/contrast, internal/manifest.
    """
    snp = [digest.digest for _, digest in _digests(records) if digest.technology == "sev-snp"]
    values: dict[str, Any] = {"snp": [{"TrustedMeasurement": digest} for digest in dict.fromkeys(snp)]}
    values["tdx"] = []
    for record in records:
        own = [digest for digest in record.prediction.digests if digest.technology == "tdx"]
        boots: dict[str | None, dict[str, str]] = {}
        for digest in own:
            if digest.register != "MRTD":
                boots.setdefault(digest.boot, {})[digest.register] = digest.digest
        values["tdx"] += [
            {"MrTd": mrtd, "Rtmrs": ["", rtmrs.get("RTMR1", ""), rtmrs.get("RTMR2", ""), _ZEROS]}
            for mrtd in (digest.digest for digest in own if digest.register == "MRTD")
            for rtmrs in boots.values() or ({},)
        ]
    return encode_json({"ReferenceValues": values})
