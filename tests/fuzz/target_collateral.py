from collections.abc import Iterator
from contextlib import suppress

import attest_makers as makers
from fuki_attest.formats import collateral

from fuki_build.errors import FormatError


def seeds() -> Iterator[bytes]:
    intel = makers.Intel()
    yield intel.tcb_info()
    yield intel.identity()


def run(data: bytes) -> None:
    with suppress(FormatError):
        assert collateral.decode(data).content in data
