from collections.abc import Iterator
from contextlib import suppress

import attest_makers as makers
from cryptography.hazmat.primitives.asymmetric import rsa
from fuki_attest.formats import paravisor

from fuki_build.errors import FormatError


def seeds() -> Iterator[bytes]:
    claims = makers.claims_of(rsa.generate_private_key(65537, 2048).public_key())
    yield makers.hcl_report(makers.Amd().report(), claims)
    yield makers.hcl_report(makers.td_report(), claims, 4)


def run(data: bytes) -> None:
    with suppress(FormatError):
        report = paravisor.decode(data)
        assert report.claims in data
        assert len(report.digest) in {32, 48, 64}
