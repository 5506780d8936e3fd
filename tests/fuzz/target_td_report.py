from collections.abc import Iterator
from contextlib import suppress

import attest_makers as makers
from fuki_attest.formats import td_report
from fuki_attest.words import tdx

from fuki_build.errors import FormatError


def seeds() -> Iterator[bytes]:
    yield makers.td_report()


def run(data: bytes) -> None:
    with suppress(FormatError):
        assert list(tdx.report_fields(td_report.decode_report(data)))
