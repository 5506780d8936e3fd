"""Files that take long to get, kept by the SHA-256 of their content in the user's cache directory.

What is kept is hashed each time before it is used, so that it changes nothing but the time. Where there is no cache, or
it cannot be written, files are got anew, into a scratch directory.
"""

import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fuki_build.errors import FukiError, RecipeError
from fuki_build.image.cache_directory import private_directory
from fuki_build.image.guard import note_read

LARGEST = 1024 * 1024 * 1024
"""Bytes that a file in the cache has at most; firmware has some megabytes."""
_DIGEST = re.compile(r"[0-9a-f]{64}")
_PIECE = 1024 * 1024


class ContentWriter:
    """Takes the content of one file, piece by piece, and computes its SHA-256: at most `limit` bytes."""

    def __init__(self, path: Path, descriptor: int, limit: int) -> None:
        self._path = path
        self._descriptor = descriptor
        self._left = limit
        self._limit = limit
        self._hash = hashlib.sha256()

    def write(self, data: bytes) -> None:
        """Append `data`. Raises `FukiError` beyond the limit, and for a disk that is full."""
        self._left -= len(data)
        if self._left < 0:
            raise FukiError(f"the file has more than {self._limit} bytes")

        self._hash.update(data)
        view = memoryview(data)
        with _writing(self._path):
            while view:
                view = view[os.write(self._descriptor, view) :]

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


Fetch = Callable[[ContentWriter], None]
"""Writes the whole of a file; raises `FukiError` where it cannot be had."""


def cached_file(sha256: str, fetch: Fetch, workspace: Path, limit: int = LARGEST) -> Path:
    """The path of a file with this SHA-256 (hex, lower case): a kept one, or else what `fetch` writes, which is kept.

    Raises `RecipeError` for what is no such digest, and for content with another one, of which nothing stays.
    """
    if not _DIGEST.fullmatch(sha256):
        raise RecipeError(f"{sha256!r} is no SHA-256", hint="it has 64 digits of 0 to 9 and a to f")

    place = private_directory("content") or workspace / "content"
    place.mkdir(mode=0o700, exist_ok=True)

    path = place / sha256
    if not _is_content(path, sha256):
        _fetch_into(path, sha256, fetch, limit)
    note_read(path)
    return path


def _is_content(path: Path, sha256: str) -> bool:
    """Whether a file is there, is a regular one and no link, and has this digest."""
    try:
        # Without O_NONBLOCK, opening a FIFO would wait for a writer that may never come.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return False

    digest = hashlib.sha256()
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return False
        while piece := os.read(descriptor, _PIECE):
            digest.update(piece)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return digest.hexdigest() == sha256


def _fetch_into(path: Path, sha256: str, fetch: Fetch, limit: int) -> None:
    """Fetch into a hidden file, which gets its name if it is what was asked for."""
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    with _writing(path):
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    try:
        try:
            writer = ContentWriter(path, descriptor, limit)
            fetch(writer)
        finally:
            os.close(descriptor)

        if writer.sha256 != sha256:
            raise RecipeError(
                f"it has the SHA-256 {writer.sha256}, expected is {sha256}",
                hint="if the new content is the right one, write its digest into the recipe",
            )
        with _writing(path):
            _name(temporary, path, sha256)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn an `OSError` of ours into an error that names the file; those of `fetch` are its own."""
    try:
        yield
    except OSError as error:
        raise FukiError(f"cannot write {path}: {error.strerror}") from error


def _name(temporary: Path, path: Path, sha256: str) -> None:
    """Give a file its name. One that another command has finished meanwhile stays: it may be in use by now."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        if not _is_content(path, sha256):
            temporary.replace(path)
    except OSError:
        # Not every file system has links.
        temporary.replace(path)
