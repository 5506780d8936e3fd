"""Facts that take long to find in some content, kept by its digest in the user's cache directory.

A fact follows from the content alone, so that what is kept changes nothing but the time. Where there is no cache, or it
cannot be read or written, facts are found anew.
"""

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_ANSWERS = {True: b"yes\n", False: b"no\n", None: b"unknown\n"}
_VALUES = {answer: value for value, answer in _ANSWERS.items()}


def remembered(fact: str, content: bytes, find: Callable[[bytes], bool | None]) -> bool | None:
    """What `find` says of the content, or has said before; `fact` names what that is, and the version of its rules."""
    directory = _directory()
    if directory is None:
        return find(content)

    path = directory / f"{fact}-{hashlib.sha256(content).hexdigest()}"
    with suppress(OSError, KeyError):
        return _VALUES[_read(path)]

    value = find(content)
    with suppress(OSError):
        _write(path, _ANSWERS[value])
    return value


def _directory() -> Path | None:
    """Fuki's own directory below $XDG_CACHE_HOME or ~/.cache; None where neither is known (XDG Base Directory 0.8)."""
    base, home = os.environ.get("XDG_CACHE_HOME", ""), os.environ.get("HOME", "")
    if Path(base).is_absolute():
        return Path(base) / "fuki"
    # A home that is not there is made by whoever makes homes.
    return Path(home) / ".cache" / "fuki" if Path(home).is_absolute() and Path(home).is_dir() else None


def _read(path: Path) -> bytes:
    # Whatever is there instead of a file of ours, a FIFO too, is read without waiting, and no further than an answer.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        return os.read(descriptor, 16)
    finally:
        os.close(descriptor)


def _write(path: Path, answer: bytes) -> None:
    """A whole file, or none: several commands may write at a time."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        temporary.write_bytes(answer)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
