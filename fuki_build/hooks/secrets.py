"""Where passphrases and PINs come from. They are never part of a recipe, an error, or what fuki writes."""

import errno
import os
import select
import stat
import sys
import time
from pathlib import Path

from fuki_build.errors import RecipeError, SigningError
from fuki_build.image.guard import note_read

_MAX_SIZE = 64 * 1024
_PATIENCE = 30.0
"""Seconds in which a pipe must give a secret."""
_SOURCES = ("file:PATH", "env:NAME", "credential:NAME", "prompt")
SECRET_SOURCES = f"where it comes from: {', '.join(_SOURCES)}"
"""For the `description` of an option that names such a source."""


def read_secret(source: str | None, directory: Path, purpose: str, where: str) -> str:
    """The secret from a source: `file:PATH`, `env:NAME`, `credential:NAME` (systemd's), or `prompt`.

    None means to prompt where there is a terminal. `purpose` is what the prompt asks for, `where` the option that named
    the source. Line breaks at the end are not part of a secret. Raises `RecipeError` for what is no such source,
    `SigningError` when there is no secret to be had; neither repeats what stands in the recipe.
    """
    kind, _, name = (source or "prompt").partition(":")
    match kind:
        case "file" if name:
            return _read(directory / name, purpose, where)
        case "env" if name:
            return _environment(name, purpose, where)
        case "credential" if name:
            return _credential(name, purpose, where)
        case "prompt" if not name:
            return _prompt(purpose, where)

    # The source is not repeated: it may be the secret itself.
    hint = f"a secret does not stand in a recipe; give one of {', '.join(_SOURCES)}"
    raise RecipeError("this is not where a secret can come from", where=where, hint=hint)


def _read(path: Path, purpose: str, where: str) -> str:
    try:
        data = _read_bytes(path)
    except OSError as error:
        raise SigningError(f"cannot read the {purpose} from {path}: {error.strerror}", where=where) from error
    if len(data) > _MAX_SIZE:
        problem = f"{path}, which is to hold the {purpose}, has more than {_MAX_SIZE} bytes"
        raise SigningError(problem, where=where, hint="name the file that holds the secret and nothing else")
    try:
        return data.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise SigningError(f"{path}, which is to hold the {purpose}, is not UTF-8 text", where=where) from None


def _read_bytes(path: Path) -> bytes:
    """What a file or pipe holds, up to one byte more than a secret may have. Raises `OSError`."""
    # Without O_NONBLOCK, opening a FIFO would wait for a writer that may never come.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode):
            note_read(path, status)
        elif not stat.S_ISFIFO(status.st_mode):
            raise OSError(errno.EINVAL, "it is neither a file nor a pipe")
        return _read_to_end(descriptor)
    finally:
        os.close(descriptor)


def _read_to_end(descriptor: int) -> bytes:
    data = b""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    deadline = time.monotonic() + _PATIENCE

    while len(data) <= _MAX_SIZE:
        # Files are always ready; a pipe is when somebody has written, or has closed it.
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise TimeoutError(errno.ETIMEDOUT, f"nobody wrote all of it within {_PATIENCE:.0f} s")
        piece = os.read(descriptor, _MAX_SIZE + 1 - len(data))
        if not piece:
            break
        data += piece
    return data


def _environment(name: str, purpose: str, where: str) -> str:
    value = os.environb.get(os.fsencode(name))
    if value is None:
        raise SigningError(f"the environment has no {name}, which is to hold the {purpose}", where=where)
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise SigningError(f"{name}, which is to hold the {purpose}, is not UTF-8 text", where=where) from None


def _credential(name: str, purpose: str, where: str) -> str:
    """A credential of the service that fuki runs in (systemd.exec(5), CREDENTIALS)."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if not directory or "/" in name:
        hint = "run fuki as a service with LoadCredential=, or take another source"
        raise SigningError(f"there is no credential {name!r} for the {purpose}", where=where, hint=hint)
    return _read(Path(directory) / name, purpose, where)


def _prompt(purpose: str, where: str) -> str:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        hint = f"without a terminal to ask on, name its source: {', '.join(_SOURCES[:-1])}"
        raise SigningError(f"the {purpose} is needed", where=where, hint=hint)
    from getpass import getpass  # noqa: PLC0415 - only where somebody is asked

    try:
        return getpass(f"{purpose}: ", stream=sys.stderr)
    except EOFError:
        raise SigningError(f"no {purpose} was given", where=where) from None
    except UnicodeDecodeError:
        raise SigningError(f"the {purpose} that was given is not UTF-8 text", where=where) from None
