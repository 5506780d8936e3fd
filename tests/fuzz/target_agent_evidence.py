import base64
import json
from collections.abc import Iterator
from contextlib import suppress

import attest_makers as makers
from attest_agent import snp_evidence
from fuki_attest.formats import agent_evidence

from fuki_build.errors import FormatError


def seeds() -> Iterator[bytes]:
    text = base64.urlsafe_b64encode(bytes(range(200))).decode()
    quote = {"message": "00ff", "signature": "aa", "pcrs": ["00" * 32] * 24}
    yield json.dumps({"version": 1, "tpm_quote": quote, "hcl_report": text, "vcek": text}).encode()
    yield json.dumps({"version": 1, "tpm_quote": quote, "hcl_report": text, "td_quote": text}).encode()
    old = {"message": [0, 255], "signature": [1], "pcrs": [[0] * 32] * 24}
    yield json.dumps({"quote": old, "report": [1, 2, 3], "vcek": "-----BEGIN CERTIFICATE-----"}).encode()
    yield json.dumps({"quote": text, "cc_eventlog": text}).encode()
    amd = makers.Amd()
    yield snp_evidence(amd.report(version=5), [("VCEK", makers.der(amd.vcek))])
    yield snp_evidence(amd.report(version=2), None, old=True)


def run(data: bytes) -> None:
    with suppress(FormatError):
        evidence = agent_evidence.decode(data)
        parts = (evidence.quote, evidence.hcl_report, evidence.snp_report)
        assert any(part is not None for part in parts)
