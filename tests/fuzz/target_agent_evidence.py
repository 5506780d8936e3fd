import base64
import json
from collections.abc import Iterator
from contextlib import suppress

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


def run(data: bytes) -> None:
    with suppress(FormatError):
        evidence = agent_evidence.decode(data)
        assert evidence.quote is not None or evidence.hcl_report is not None
