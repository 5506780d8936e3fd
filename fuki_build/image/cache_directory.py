"""The user's cache directory: small files in it are read within bounds, and written whole or not at all.

Everything in it can be found anew: delete it at any time.
"""

import os
import stat
from contextlib import suppress
from pathlib import Path


def cache_directory() -> Path | None:
    """Fuki's own directory below $XDG_CACHE_HOME or ~/.cache; None where neither is known (XDG Base Directory 0.8)."""
    base, home = os.environ.get("XDG_CACHE_HOME", ""), os.environ.get("HOME", "")
    if Path(base).is_absolute():
        return Path(base) / "fuki"
    # A home that is not there is made by whoever makes homes.
    return Path(home) / ".cache" / "fuki" if Path(home).is_absolute() and Path(home).is_dir() else None


def private_directory(name: str) -> Path | None:
    """A directory of that name in the cache, made if it is missing; None where it cannot be had for this user alone."""
    cache = cache_directory()
    if cache is None:
        return None
    directory = cache / name
    try:
        # Of several that are missing, `mkdir` would make only the last one private.
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.mkdir(mode=0o700, exist_ok=True)
        status = directory.lstat()
    except OSError:
        return None
    is_own = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022
    return directory if is_own and os.access(directory, os.W_OK | os.X_OK) else None


def read_entry(path: Path, limit: int) -> bytes:
    """The first `limit` bytes of an entry. Raises `OSError` where there is none."""
    # Whatever is there instead of a file of ours, a FIFO too, is read without waiting, and no further than an entry.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        return os.read(descriptor, limit)
    finally:
        os.close(descriptor)


def write_entry(path: Path, data: bytes) -> None:
    """A whole file, or none: several commands may write at a time. Raises `OSError`."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def touch_entry(path: Path) -> None:
    """Make an entry one that was used just now, as far as that can be."""
    with suppress(OSError):
        os.utime(path, follow_symlinks=False)


def evict(directory: Path, most: int) -> None:
    """Where a directory has more than `most` files, remove a quarter: those that were used the longest time ago."""
    with suppress(OSError):
        files = list(os.scandir(directory))
        if len(files) <= most:
            return
        ages = sorted((file.stat(follow_symlinks=False).st_mtime_ns, file.path) for file in files)
        for _, path in ages[: max(len(files) - most, most // 4)]:
            Path(path).unlink(missing_ok=True)
