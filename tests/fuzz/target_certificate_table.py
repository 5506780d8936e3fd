from collections.abc import Iterator
from contextlib import suppress

from fuki_attest.formats import certificate_table

from fuki_build.errors import FormatError


def seeds() -> Iterator[bytes]:
    yield certificate_table.encode({guid: name.encode() for guid, name in certificate_table.NAMES.items()})


def run(data: bytes) -> None:
    with suppress(FormatError):
        assert all(entry.content in data for entry in certificate_table.decode(data))
