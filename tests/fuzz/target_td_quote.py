from collections.abc import Iterator
from contextlib import suppress

import attest_makers as makers
from fuki_attest.formats import td_quote
from fuki_attest.words import tdx

from fuki_build.errors import FormatError


def seeds() -> Iterator[bytes]:
    intel = makers.Intel()
    yield intel.quote()
    yield intel.quote(5) + bytes(100)


def run(data: bytes) -> None:
    with suppress(FormatError):
        quote = td_quote.decode(data)
        assert quote.raw + quote.rest == data[: len(quote.raw) + len(quote.rest)]
        assert list(tdx.quote_fields(quote))
