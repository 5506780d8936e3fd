"""Directories that appear with all their files, or not at all."""

import errno
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from fuki_build.errors import FukiError


class NewFile(Struct, frozen=True):
    """A file to be written; a `secret` one is readable by its owner only."""

    name: str
    content: bytes
    secret: bool = False


def write_directory(path: Path, files: Sequence[NewFile]) -> None:
    """Create a directory of files that only its owner can enter. Raises `FukiError` if it exists and is not empty.

    The directory is renamed into place as a whole, on every file system, and never replaces one that has content.
    """
    partial = path.parent / f".{path.name}.{os.urandom(4).hex()}.tmp"
    if os.path.lexists(path) and not (path.is_dir() and not any(path.iterdir())):
        hint = "nothing there is overwritten: name a directory that is not there yet"
        raise FukiError(f"{path} exists", hint=hint)

    parents: list[Path] = []
    try:
        parents = make_directories(path.parent)
        partial.mkdir(mode=0o700)
        for file in files:
            _write(partial / file.name, file)
        _sync(partial)
        partial.rename(path)
        parents.clear()
    except OSError as error:
        raise FukiError(f"cannot write {path}: {error.strerror}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        remove_directories(parents)

    _sync(path.parent)


def make_directories(path: Path) -> list[Path]:
    """Create a directory and its parents. Returns those that were missing, the highest first. Raises `OSError`."""
    missing: list[Path] = []
    while not path.exists():
        missing.insert(0, path)
        path = path.parent

    created: list[Path] = []
    try:
        for directory in missing:
            directory.mkdir(exist_ok=True)
            created.append(directory)
        if not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    except OSError:
        remove_directories(created)
        raise

    return created


def remove_directories(created: Sequence[Path]) -> None:
    """Undo `make_directories`, except for directories that are no longer empty."""
    for directory in reversed(created):
        with suppress(OSError):
            directory.rmdir()


def _write(path: Path, file: NewFile) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600 if file.secret else 0o666)
    with os.fdopen(descriptor, "wb") as output:
        output.write(file.content)
        output.flush()
        os.fsync(descriptor)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
