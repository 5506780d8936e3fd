"""What a firmware image has compressed, by edk2's LZMA (MdeModulePkg's LzmaCustomDecompressGuid.h).

A GUID-defined section has its size and type before the GUID, and behind it where its data starts (PI 1.8, volume 3,
2.2.6.2 and 3.2.5.7).
"""

import lzma
from collections.abc import Iterator
from uuid import UUID

_LZMA = UUID("ee4e5898-3914-4259-9d6e-dc7bd79403cf").bytes_le
_SECTION_HEAD = 4
_MAX_SECTIONS = 8
_MAX_MEMORY = 128 * 1024 * 1024
_PIECE = 256 * 1024

MAX_SIZE = 64 * 1024 * 1024
"""Limit of what is decompressed of one image, in bytes; real ones have some 16 MiB."""


def compressed(image: bytes) -> Iterator[bytes]:
    """The data of each section, from its start to the image's end; at most a few are looked at."""
    at = image.find(_LZMA)
    for _ in range(_MAX_SECTIONS):
        if at < _SECTION_HEAD:
            return
        yield image[at - _SECTION_HEAD + int.from_bytes(image[at + 16 : at + 18], "little") :]
        at = image.find(_LZMA, at + 1)


def decompress(data: bytes, limit: int) -> Iterator[bytes]:
    """Pieces of what data in LZMA's old format gives, up to its end, its damage, or `limit` bytes."""
    decompressor = lzma.LZMADecompressor(lzma.FORMAT_ALONE, _MAX_MEMORY)
    size = 0
    try:
        while size < limit and not decompressor.eof:
            piece = decompressor.decompress(data, max_length=min(_PIECE, limit - size))
            if not piece and decompressor.needs_input:
                return

            data = b""
            size += len(piece)
            yield piece
    except lzma.LZMAError:
        return
