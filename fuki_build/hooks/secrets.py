"""Where passphrases and PINs come from. They are never part of a recipe, an error, or what fuki writes."""

import os
import sys
from pathlib import Path

from fuki_build.errors import RecipeError, SigningError

_MAX_SIZE = 64 * 1024
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
    hint = f"a secret does not stand in a recipe; give one of {', '.join(_SOURCES)}"
    raise RecipeError("this is not where a secret can come from", where=where, hint=hint)


def _read(path: Path, purpose: str, where: str) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_SIZE)
        return data.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise SigningError(f"{path}, which is to hold the {purpose}, is not UTF-8 text", where=where) from None
    except OSError as error:
        raise SigningError(f"cannot read the {purpose} from {path}: {error.strerror}", where=where) from error


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
