from collections.abc import Iterator
from contextlib import suppress

import attest_makers as makers
from fuki_attest.formats import snp_report
from fuki_attest.words import snp

from fuki_build.errors import FormatError


def seeds() -> Iterator[bytes]:
    amd = makers.Amd()
    for version in (2, 3, 4, 5):
        yield amd.report(version=version, mitigations=(1, 3))
    yield amd.report(cpuid=b"\x1a\x02\x01", flags=1 << 2)


def run(data: bytes) -> None:
    with suppress(FormatError):
        assert list(snp.fields(snp_report.decode(data)))
