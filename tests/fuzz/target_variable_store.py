from collections.abc import Iterator
from contextlib import suppress
from struct import pack
from uuid import UUID

from fuki_build.errors import FormatError
from fuki_build.formats.reader import Reader
from fuki_build.formats.uefi import variable_store

from .helper import head


def seeds() -> Iterator[bytes]:
    """The start of a real store, whose sizes are made those of what is kept of it."""
    kept = 32 * 1024
    data = bytearray(head("ovmf-vars-ms", kept))
    data[32:40] = pack("<Q", kept)
    data[72 + 16 : 72 + 20] = pack("<I", kept - 72)
    yield bytes(data)
    plain = UUID("ddcf3616-3275-4164-98b6-fe85707ffe7d").bytes_le + pack("<IBB6x", 28 + 40, 0x5A, 0xFE)
    variable = pack("<HBxIII16s", 0x55AA, 0x3F, 7, 4, 4, bytes(16)) + b"a\0\0\0data"
    yield bytes(data[:72]) + plain + variable


def run(data: bytes) -> None:
    with suppress(FormatError):
        variables = variable_store.decode(Reader.of(data))
        assert variables is None or sum(len(one.data) for one in variables) < len(data)
