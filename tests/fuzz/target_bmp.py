from collections.abc import Iterator
from contextlib import suppress
from struct import pack

from fuki_build.errors import FormatError
from fuki_build.formats.uki import bmp


def seeds() -> Iterator[bytes]:
    for depth, colours in ((24, 0), (8, 256), (1, 2)):
        at, pixels = 54 + 4 * colours, (3 * depth + 31) // 32 * 4 * 2
        header = pack("<2sIHHI", b"BM", at + pixels, 0, 0, at)
        yield header + pack("<IIIHHIIIIII", 40, 3, 2, 1, depth, 0, pixels, 0, 0, 0, 0) + bytes(at - 54 + pixels)


def run(data: bytes) -> None:
    with suppress(FormatError):
        picture = bmp.decode(data[: bmp.HEAD_SIZE], len(data))
        assert picture.width * picture.height * picture.depth <= 8 * len(data)
