"""Content that is not in memory: a sequence of files, parts of files, and literal bytes."""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from fuki_build.errors import FormatError, FukiError
from fuki_build.formats.reader import PIECE, Reader
from fuki_build.image.guard import note_read

AnyPath = str | os.PathLike[str]
"""As library users name files."""

Identity = tuple[int, int, int, int]
"""Device, inode, size and modification time in ns, none of which may change between planning and reading."""
BLOCK = 4096
"""Bytes of a block of a file: files share whole ones, which begin at multiples of this in each of them."""
_MAX_UNSIZED = 16 * 1024 * 1024
"""Limit in bytes for a file that does not have its stated size."""


def open_regular(path: Path) -> tuple[int, os.stat_result]:
    """Open a regular file for reading; the caller closes it. Raises `FukiError` with the path and the reason.

    From then on, no output of the command may replace the file: see `guard`.
    """
    try:
        # Without O_NONBLOCK, opening a FIFO would wait for a writer that may never come.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise FukiError(f"cannot open {path}: {error.strerror}") from error

    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        kind = "a directory" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise FukiError(f"cannot read {path}: it is {kind}")

    note_read(path, status)
    return descriptor, status


def _tells_its_size(descriptor: int, size: int) -> bool:
    """Whether a file has its stated size; those of pseudo file systems state 0 or a page."""
    if size == 0:
        return not os.read(descriptor, PIECE)
    return len(_read_range(descriptor, size - 1, 2)) == 1


def _read_range(descriptor: int, offset: int, length: int) -> bytes:
    """Exactly `length` bytes; fewer only at the end of the file."""
    pieces = []
    while length and (piece := os.pread(descriptor, length, offset)):
        pieces.append(piece)
        offset += len(piece)
        length -= len(piece)
    return b"".join(pieces)


def _read_stream(descriptor: int, limit: int) -> bytes:
    """Everything up to the end; from a stream of more than `limit` bytes, only slightly more than the limit."""
    data = bytearray()
    # Some pseudo files are read in whole records only, which the last byte below a limit would split.
    while len(data) <= limit and (piece := os.read(descriptor, PIECE)):
        data += piece
    return bytes(data)


def identity(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


class FilePart(Struct, frozen=True):
    """`size` bytes of a file, from `offset`; `identity` is that of the file when it was planned."""

    path: Path
    offset: int
    size: int
    identity: Identity

    def read_at(self, offset: int, length: int) -> bytes:
        length = max(0, min(length, self.size - offset))

        descriptor, status = open_regular(self.path)
        try:
            self.check_unchanged(status)
            data = _read_range(descriptor, self.offset + offset, length)
            self.check_unchanged(os.fstat(descriptor))
        except OSError as error:
            raise FukiError(f"cannot read {self.path}: {error.strerror}") from error
        finally:
            os.close(descriptor)

        if len(data) < length:
            raise FukiError(f"{self.path} became shorter while it was being read", hint="run the command again")

        return data

    def check_unchanged(self, status: os.stat_result) -> None:
        if identity(status) != self.identity:
            raise FukiError(f"{self.path} changed while it was being used", hint="run the command again")


class BytesPart(Struct, frozen=True):
    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def read_at(self, offset: int, length: int) -> bytes:
        return self.data[offset : offset + length]


Part = FilePart | BytesPart


class Blob(Struct, frozen=True):
    """Content as a sequence of parts; its total size in bytes is known before anything is read."""

    parts: tuple[Part, ...] = ()

    @classmethod
    def of_bytes(cls, data: bytes) -> "Blob":
        """Content that is in memory."""
        return cls((BytesPart(data),))

    @classmethod
    def of_file(cls, path: AnyPath) -> "Blob":
        """The content of a regular file, to be read later.

        A file without its stated size, as below /proc and /sys, is read immediately. Raises `FukiError` for a file that
        cannot be read, or is too large for that.
        """
        path = Path(path)
        descriptor, status = open_regular(path)
        try:
            if _tells_its_size(descriptor, status.st_size):
                return cls((FilePart(path, 0, status.st_size, identity(status)),))

            # Nobody can come back to a range of such a file: it is read in one go, from the start.
            os.lseek(descriptor, 0, os.SEEK_SET)
            data = _read_stream(descriptor, _MAX_UNSIZED)
        except OSError as error:
            raise FukiError(f"cannot read {path}: {error.strerror}") from error
        finally:
            os.close(descriptor)

        if len(data) > _MAX_UNSIZED:
            problem = f"{path} says that it has {status.st_size} bytes, and has another size, above {_MAX_UNSIZED}"
            raise FukiError(problem, hint="copy it to a file when nothing writes to it, and name that one")

        return cls.of_bytes(data)

    @property
    def sha256_in_memory(self) -> str | None:
        """The SHA-256, in hex, of content in memory; None where part of it is still in a file."""
        digest = hashlib.sha256()
        for part in self.parts:
            if isinstance(part, FilePart):
                return None
            digest.update(part.data)
        return digest.hexdigest()

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return sum(part.size for part in self.parts)

    def __add__(self, other: "Blob") -> "Blob":
        return Blob(self.parts + other.parts)

    def placed(self) -> Iterator[tuple[int, Part]]:
        """Each part with its offset in the blob."""
        at = 0
        for part in self.parts:
            yield at, part
            at += part.size

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`; fewer at the end."""
        pieces = []
        for at, part in self.placed():
            start, end = max(offset, at), min(offset + length, at + part.size)
            if start < end:
                pieces.append(part.read_at(start - at, end - start))

        return b"".join(pieces)

    def slice(self, offset: int, size: int) -> "Blob":
        """The part of the blob from `offset`. Raises `FormatError` if it would reach beyond the end."""
        if offset < 0 or size < 0 or offset + size > self.size:
            raise FormatError(f"{size} bytes at {offset:#x} lie outside the content of {self.size} bytes")

        parts: list[Part] = []
        for at, part in self.placed():
            start, end = max(offset, at), min(offset + size, at + part.size)
            if start >= end:
                continue
            if isinstance(part, BytesPart):
                parts.append(BytesPart(part.data[start - at : end - at]))
            else:
                parts.append(FilePart(part.path, part.offset + start - at, end - start, part.identity))

        return Blob(tuple(parts))

    def read_small(self, limit: int, description: str) -> bytes:
        """All of it, if it has at most `limit` bytes; else `FormatError` naming `description`."""
        if self.size > limit:
            raise FormatError(f"{description} has {self.size} bytes, more than the {limit} that it may have")
        return self.read_at(0, self.size)

    @property
    def reader(self) -> Reader:
        return Reader(self.size, self.read_at)


def read_small_file(path: AnyPath, limit: int) -> bytes:
    """The content of a regular file of at most `limit` bytes. Raises `FukiError` with the path."""
    return Blob.of_file(path).read_small(limit, str(path))
