"""Read content piece by piece, each file once, or let the kernel copy it: no file may change meanwhile."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from fuki_build.errors import FukiError
from fuki_build.formats.hashes import new_hash
from fuki_build.formats.reader import PIECE
from fuki_build.image.blob import Blob, FilePart, Part, open_regular


def read_pieces(content: Blob) -> Iterator[memoryview]:
    """All bytes of a blob, in pieces of at most 1 MiB; each file is opened once and must not have changed."""
    for part in content.parts:
        yield from part_pieces(part)


def part_pieces(part: Part | memoryview) -> Iterator[memoryview]:
    if isinstance(part, FilePart):
        yield from _read_file(part)
    else:
        yield part if isinstance(part, memoryview) else memoryview(part.data)


def blob_digest(content: Blob, algorithm: str = "sha256") -> bytes:
    """The digest of all bytes of a blob, however large. Raises `FukiError` where a file cannot be read."""
    digest = new_hash(algorithm)
    for piece in read_pieces(content):
        digest.update(piece)
    return digest.digest()


def _read_file(part: FilePart) -> Iterator[memoryview]:
    with opened(part) as descriptor:
        at, end = part.offset, part.offset + part.size
        while at < end:
            piece = read_piece(part, descriptor, at, end)
            yield memoryview(piece)
            at += len(piece)


def read_piece(part: FilePart, descriptor: int, at: int, end: int) -> bytes:
    """Bytes of a file between two offsets: some at least, and at most 1 MiB."""
    try:
        piece = os.pread(descriptor, min(PIECE, end - at), at)
    except OSError as error:
        raise FukiError(f"cannot read {part.path}: {error.strerror}") from error
    if not piece:
        raise FukiError(f"{part.path} became shorter while it was being read", hint="run the command again")
    return piece


@contextmanager
def opened(part: FilePart) -> Iterator[int]:
    """A descriptor of the file, which must be as it was planned, before and after."""
    descriptor, status = open_regular(part.path)
    try:
        part.check_unchanged(status)
        yield descriptor
        # A file that is written to while it is read would give an image that matches neither state.
        part.check_unchanged(os.fstat(descriptor))
    finally:
        os.close(descriptor)
