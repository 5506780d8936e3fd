from collections.abc import Iterator
from contextlib import suppress

import attest_makers as makers
from fuki_attest.formats import certificate

from fuki_build.errors import FormatError


def seeds() -> Iterator[bytes]:
    amd = makers.Amd()
    yield makers.der(amd.vcek)
    yield makers.pem(amd.vcek, amd.ask.certificate, amd.ark.certificate)
    yield makers.der(makers.Intel().leaf)
    yield amd.ask.revoked(1, 2, 3)


def run(data: bytes) -> None:
    with suppress(FormatError):
        for one in certificate.decode_chain(data):
            certificate.name(one)
            certificate.amd_extensions(one)
    with suppress(FormatError):
        certificate.decode_revocations(data)
