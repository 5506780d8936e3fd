"""Bitmaps; byte values are those of Microsoft's BITMAPFILEHEADER and BITMAPINFOHEADER, rules those of splash.c."""

from struct import pack

import pytest

from fuki_build.errors import FormatError
from fuki_build.formats.uki import bmp


def picture(  # noqa: PLR0913 - fields of the format
    width: int = 3,
    height: int = 2,
    depth: int = 24,
    *,
    compression: int = 0,
    used: int = 0,
    table: int | None = None,
    pixels: int | None = None,
    size: int | None = None,
    info: int = 40,
) -> bytes:
    """A picture whose sizes (`table` of colours, `pixels`, declared `size`, header) can be wrong."""
    if table is None:
        table = 4 * (used or (1 << depth if depth <= 8 else 0))
    if pixels is None:
        pixels = (width * depth + 31) // 32 * 4 * (height & 0x7FFFFFFF)
    at = 14 + info + table
    header = pack("<IIIHHIIiiII", info, width, height, 1, depth, compression, pixels, 2835, 2835, used, 0)
    body = header[:info].ljust(info, b"\0") + bytes(table) + bytes(pixels)
    return pack("<2sIHHI", b"BM", at + pixels if size is None else size, 0, 0, at) + body


def decode(data: bytes) -> bmp.Bitmap:
    return bmp.decode(data[: bmp.HEAD_SIZE], len(data))


@pytest.mark.parametrize("depth", [1, 4, 8, 16, 24, 32])
def test_plain_pictures_of_every_depth_are_shown(depth: int):
    assert decode(picture(5, 3, depth)) == (5, 3, depth)


@pytest.mark.parametrize("depth", [16, 32])
def test_bit_masks_in_a_longer_header_are_shown(depth: int):
    assert decode(picture(depth=depth, compression=3, info=124)).depth == depth


def test_a_picture_of_no_pixels_has_nothing_wrong():
    assert decode(picture(0, 0)) == (0, 0, 24)


def test_a_picture_may_have_64_mib_of_pixels():
    size = 54 + (64 << 20)
    assert bmp.decode(picture(4096, 4096, 32, pixels=0, size=size), size) == (4096, 4096, 32)
    with pytest.raises(FormatError, match="more than 64 MiB"):
        bmp.decode(picture(4096, 4097, 32, pixels=0, size=size), size)


WRONG = {
    "no BMP": b"\x89PNG\r\n\x1a\n" + bytes(60),
    "information header is cut short": picture()[:30],
    "its header says": picture(size=99),
    "information header has 12 bytes": pack("<I", 12).join((picture()[:14], picture()[18:])),
    "2 bits a pixel": picture(depth=2, table=0),
    r"compression \(RLE8\)": picture(depth=8, compression=1),
    r"compression \(RLE4\)": picture(depth=4, compression=2),
    r"compression \(PNG\)": picture(compression=5),
    r"compression \(bit masks\) is not supported with 24": picture(compression=3),
    "need 4 bytes, the file has 0": picture(1, 1, 1, pixels=0),
    "which is not supported$": picture(height=1 << 31, pixels=0),
    "top to bottom": picture(height=(1 << 32) - 2, pixels=24),
    "need 24 bytes, the file has 20": picture(pixels=20),
    "more than 64 MiB": picture(5000, 5000, 32, pixels=0),
    "colour table has 1020 bytes, 1024 are declared": picture(depth=8, table=1020),
    "colour table has 64 bytes, 8 bits a pixel need 1024": picture(depth=8, used=16),
    "colour table has 12 bytes, 0 are declared": picture(depth=32, compression=3, table=12),
}


@pytest.mark.parametrize("reason", WRONG)
def test_what_the_stub_passes_over_is_refused_with_the_reason(reason: str):
    with pytest.raises(FormatError, match=reason):
        decode(WRONG[reason])


def test_pixels_inside_the_headers_are_refused():
    data = bytearray(picture())
    data[10:14] = pack("<I", 40)
    with pytest.raises(FormatError, match="begin inside its headers"):
        decode(bytes(data))
