"""Whatever a file is taken for, it is shown and verified to the end."""

from collections.abc import Iterator
from contextlib import suppress
from struct import pack

import attest_makers as makers
from cryptography.hazmat.primitives.asymmetric import rsa
from fuki_attest import evidence, show
from fuki_attest.pieces import Evidence
from fuki_attest.verify import run as verification
from fuki_attest.verify.steps import AppraisalPolicy

from fuki_build.errors import FormatError

POLICY = AppraisalPolicy(at=makers.NOW, nonce=b"nonce")


def seeds() -> Iterator[bytes]:
    amd, intel = makers.Amd(), makers.Intel()
    key = rsa.generate_private_key(65537, 2048)
    yield amd.report()
    yield makers.der(amd.vcek)
    yield makers.pem(amd.vcek, amd.ask.certificate)
    yield intel.quote()
    yield intel.quote(5)
    yield makers.td_report()
    yield makers.hcl_report(amd.report(), makers.claims_of(key.public_key()))
    yield makers.tpm_quote({7: bytes(32)})
    yield pack(">HHH", 0x14, 0x0B, 256) + bytes(256)
    yield makers.spki(key.public_key())
    yield b"sha256:\n  0 : 0x" + b"00" * 32 + b"\n"

    yield from intel.collateral().values()


def run(data: bytes) -> None:
    with suppress(FormatError):
        given = Evidence(tuple(evidence.recognise(data, "file")))
        show.document(given)
        assert verification.verify(given, POLICY)
