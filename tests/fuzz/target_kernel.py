import bz2
import gzip
import lzma
from collections.abc import Iterator
from contextlib import suppress
from struct import pack

import lz4.block
import lz4.frame
import zstandard

from fuki_build.errors import FormatError
from fuki_build.formats.reader import Reader
from fuki_build.formats.uki import kernel

from .helper import head

_BANNER = b"Linux version 6.12.0-acme (x@y) #1\n"


def seeds() -> Iterator[bytes]:
    yield head("kernel-x64", 0x1000)
    yield head("kernel-aa64", 512) + _BANNER
    yield _elf()

    block = lz4.block.compress(_BANNER, store_size=False)
    packed = {
        "gzip": gzip.compress(_BANNER),
        "bzip2": bz2.compress(_BANNER),
        "xz": lzma.compress(_BANNER),
        "lzma": lzma.compress(_BANNER, lzma.FORMAT_ALONE),
        "lz4 frame": lz4.frame.compress(_BANNER),
        "lz4": b"\x02\x21\x4c\x18" + pack("<I", len(block)) + block + pack("<I", len(_BANNER)),
        "zstd": zstandard.compress(_BANNER),
    }

    for name, data in packed.items():
        yield data
        yield pack("<2sxx4sII8x32s", b"MZ", b"zimg", 56, len(data), name.encode()) + data


def _elf() -> bytes:
    """A header, a section header and a note."""
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    note = pack("<III8s12s", 6, 10, 0x100, b"Linux", b"6.12-acme")
    header = pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 0, 64, 0, 64, 0, 0, 64, 1, 0)
    return ident + header + pack("<IIQQQQIIQQ", 0, 7, 0, 0, 128, len(note), 0, 0, 4, 0) + note


def run(data: bytes) -> None:
    with suppress(FormatError):
        release = kernel.release(Reader.of(data))
        assert release is None or (release.isascii() and release.isprintable() and len(release) < 128)
    limit = kernel.x86_command_line_limit(Reader.of(data))
    assert limit is None or limit > 0
    kernel.is_kernel(Reader.of(data))
