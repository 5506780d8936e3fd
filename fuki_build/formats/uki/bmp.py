"""Windows bitmaps, as far as systemd-stub can show them (splash.c, 262.1)."""

from struct import Struct
from typing import NamedTuple

from fuki_build.errors import FormatError
from fuki_build.formats.reader import unpack

_FILE = Struct("<2sIHHI")
_INFO = Struct("<IIIHHI4xIIII")
_MAP_ENTRY_SIZE = 4
_MAX_PIXELS_SIZE = 64 * 1024 * 1024
_COMPRESSIONS = {1: (0,), 4: (0,), 8: (0,), 24: (0,), 16: (0, 3), 32: (0, 3)}
"""Compressions that the stub reads, by bits per pixel: 0 is none, 3 is none with bit masks."""
_COMPRESSION_NAMES = {1: "RLE8", 2: "RLE4", 3: "bit masks", 4: "JPEG", 5: "PNG", 6: "bit masks with transparency"}

HEAD_SIZE = _FILE.size + _INFO.size


class Bitmap(NamedTuple):
    """Width and height in pixels, and bits per pixel."""

    width: int
    height: int
    depth: int


def decode(head: bytes, size: int) -> Bitmap:
    """Decode the headers of a picture of `size` bytes from its first `HEAD_SIZE` bytes.

    Raises `FormatError` for a picture that the stub skips.
    """
    if head[:2] != b"BM":
        raise FormatError("it is no BMP file")

    _, file_size, _, _, pixels_at = unpack(_FILE, head, 0, "the BMP file header")
    info_size, width, height, _, depth, compression, _, _, colours, _ = unpack(
        _INFO, head, _FILE.size, "the BMP information header"
    )

    if file_size != size:
        raise FormatError(f"its header says {file_size} bytes, it has {size}")
    if info_size < _INFO.size:
        raise FormatError(f"its information header has {info_size} bytes, at least {_INFO.size} are needed")

    if depth not in _COMPRESSIONS:
        raise FormatError(f"{depth} bits a pixel are not supported")
    if compression not in _COMPRESSIONS[depth]:
        name = _COMPRESSION_NAMES.get(compression, f"number {compression}")
        raise FormatError(f"its compression ({name}) is not supported with {depth} bits a pixel")

    _check_pixels(width, height, depth, pixels_at, size)
    _check_colours(depth, colours, pixels_at - _FILE.size - info_size)
    return Bitmap(width, height, depth)


def _check_pixels(width: int, height: int, depth: int, pixels_at: int, size: int) -> None:
    if height >= 1 << 31:
        raise FormatError("its rows stand from top to bottom, which is not supported")
    pixels = (depth * width + 31) // 32 * 4 * height
    if pixels > _MAX_PIXELS_SIZE:
        raise FormatError(f"{width} by {height} pixels are more than 64 MiB")
    if pixels_at > size or pixels > size - pixels_at:
        raise FormatError(f"{width} by {height} pixels need {pixels} bytes, the file has {max(0, size - pixels_at)}")


def _check_colours(depth: int, used: int, table_size: int) -> None:
    """The colour table lies between headers and pixels, and must fill the space between them."""
    full = 1 << depth if depth <= 8 else 0
    if table_size < 0:
        raise FormatError("its pixels begin inside its headers")
    if table_size and table_size != (used or full) * _MAP_ENTRY_SIZE:
        raise FormatError(f"its colour table has {table_size} bytes, {(used or full) * _MAP_ENTRY_SIZE} are declared")
    if table_size < full * _MAP_ENTRY_SIZE:
        raise FormatError(
            f"its colour table has {table_size} bytes, {depth} bits a pixel need {full * _MAP_ENTRY_SIZE}"
        )
