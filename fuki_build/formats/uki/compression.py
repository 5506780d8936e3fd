"""Compressed kernels: the kind of compression, and the content as a stream of bounded pieces."""

import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from typing import Any

from fuki_build.errors import FormatError

_MAGICS = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x02\x21\x4c\x18": "lz4-legacy",
    b"\x04\x22\x4d\x18": "lz4",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x5d\0\0": "lzma",
    b"\x89LZO": "lzo",
}
_PIECE = 1024 * 1024
_MEMORY = 160 * 1024 * 1024
"""Bytes that a decompressor may use; kernels are compressed with dictionaries of at most 128 MiB."""
_LEGACY_BLOCK = 8 * 1024 * 1024
_LEGACY_BLOCK_BOUND = _LEGACY_BLOCK + _LEGACY_BLOCK // 255 + 16
MAX_CONTENT = 256 * 1024 * 1024
"""Size limit of a decompressed kernel; the largest known has less than half. Limits a bomb's time."""


def detect(head: bytes) -> str | None:
    """The name of the compression that a file's magic bytes announce."""
    return next((name for magic, name in _MAGICS.items() if head.startswith(magic)), None)


def decompress(name: str, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The content in pieces of at most some MiB. Raises `FormatError` for damage, bombs and missing decompressors."""
    total = 0
    for piece in _guarded(name, pieces):
        total += len(piece)
        if total > MAX_CONTENT:
            raise FormatError(f"the {name} data is larger than any kernel (over {MAX_CONTENT} bytes)")
        yield piece


def _guarded(name: str, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Turn the decompressors' exceptions about damage into `FormatError`."""
    if name not in _DECOMPRESSORS:
        raise FormatError(f"kernels compressed with {name} cannot be read", hint="give the uncompressed kernel")

    try:
        yield from _DECOMPRESSORS[name](pieces)
    except FormatError:
        raise
    except (OSError, EOFError, zlib.error, RuntimeError, ValueError) as error:
        raise FormatError(f"the {name} data is damaged: {error}") from error
    except Exception as error:
        # The classes are only known once their modules are loaded, and one of these may not be installed.
        if type(error).__name__ not in ("LZ4BlockError", "LZMAError", "ZstdError"):
            raise
        raise FormatError(f"the {name} data is damaged: {error}") from error


def _gzip(pieces: Iterable[bytes]) -> Iterator[bytes]:
    stream = zlib.decompressobj(wbits=31)
    for piece in pieces:
        data = piece
        while data and not stream.eof:
            yield stream.decompress(data, _PIECE)
            data = stream.unconsumed_tail

    if not stream.eof:
        raise EOFError("it ends too early")


def _incremental(make: Callable[[], Any]) -> Callable[[Iterable[bytes]], Iterator[bytes]]:
    """For decompressors with the interface of `bz2.BZ2Decompressor`."""

    def run(pieces: Iterable[bytes]) -> Iterator[bytes]:
        stream = make()
        for piece in pieces:
            data = piece
            while not stream.eof:
                yield stream.decompress(data, _PIECE)
                if stream.needs_input:
                    break
                data = b""

        if not stream.eof:
            raise EOFError("it ends too early")

    return run


def _import(module: str, distribution: str | None = None) -> Any:  # noqa: ANN401 - a module without types
    """A decompressor's module, of a distribution or of the standard library."""
    try:
        return import_module(module)
    except ImportError:
        if distribution is None:
            # Python is built without what it finds no C library for.
            raise FormatError(
                f"reading this kernel needs Python's module {module}, which this Python was built without",
                hint="run fuki with another build of Python, or give the uncompressed kernel",
            ) from None
        raise FormatError(
            f"reading this kernel needs the Python package {distribution}",
            hint="pip install 'fuki-build[kernels]'",
        ) from None


def _zstd() -> Any:  # noqa: ANN401 - as the others
    if sys.version_info >= (3, 14):
        return _import("compression.zstd").ZstdDecompressor()
    return _import("backports.zstd", "backports.zstd").ZstdDecompressor()


def _lz4_frame() -> Any:  # noqa: ANN401 - lz4 has no types
    return _import("lz4.frame", "lz4").LZ4FrameDecompressor()


def _lzma() -> Any:  # noqa: ANN401 - as the others
    return _import("lzma").LZMADecompressor(memlimit=_MEMORY)


def _bzip2() -> Any:  # noqa: ANN401 - as the others
    return _import("bz2").BZ2Decompressor()


def _lz4_legacy(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Blocks of a length and that many bytes, of 8 MiB each when decompressed (lz4_Frame_format.md, "Legacy frame")."""
    block = _import("lz4.block", "lz4")
    buffer, at, full = b"", 4, True

    for piece in pieces:
        consumed = min(at, len(buffer))
        buffer, at = buffer[consumed:] + piece, at - consumed

        # Four bytes alone at the end are no block: the kernel's build appends the uncompressed size.
        while len(buffer) > at + 4:
            size = int.from_bytes(buffer[at : at + 4], "little")
            if not full or not 0 < size <= _LEGACY_BLOCK_BOUND:
                raise ValueError("something follows its last block")
            if len(buffer) < at + 4 + size:
                break

            content = block.decompress(buffer[at + 4 : at + 4 + size], uncompressed_size=_LEGACY_BLOCK)
            yield content

            # Only the last block may hold less than 8 MiB.
            full = len(content) == _LEGACY_BLOCK
            at += 4 + size

    if len(buffer) - at not in (0, 4):
        raise EOFError("it ends too early")


_DECOMPRESSORS: dict[str, Callable[[Iterable[bytes]], Iterator[bytes]]] = {
    "gzip": _gzip,
    "bzip2": _incremental(_bzip2),
    "xz": _incremental(_lzma),
    "lzma": _incremental(_lzma),
    "lz4": _incremental(_lz4_frame),
    "lz4-legacy": _lz4_legacy,
    "zstd": _incremental(_zstd),
}
