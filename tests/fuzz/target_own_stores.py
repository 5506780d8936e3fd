from collections.abc import Iterator
from contextlib import suppress

from fuki_build.errors import FormatError
from fuki_build.formats.uefi.own_stores import own_stores
from fuki_build.formats.uefi.pei_core import PORT_SIZE, noted_port
from tests.formats.test_own_stores import NOTE, core_volume, program, to_data


def seeds() -> Iterator[bytes]:
    yield program(NOTE)
    yield program(to_data("66 c7 05", "08 06"))
    yield core_volume(program(NOTE))


def run(data: bytes) -> None:
    with suppress(FormatError):
        own_stores(data)
    with suppress(FormatError):
        offset = noted_port(data)
        assert offset is None or 0 <= offset <= len(data) - PORT_SIZE
