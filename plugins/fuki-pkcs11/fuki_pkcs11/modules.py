"""PKCS #11 modules: choosing, loading and releasing them.

A module's state belongs to the process, not to a caller: whether it is initialized, and who is logged in to a token.
Users of a module are therefore counted here, and the last one releases it.
"""

import sysconfig
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pkcs11
from fuki_build.errors import RecipeError, SigningError
from fuki_build.formats.pkcs11_uri import Pkcs11Uri
from fuki_build.hooks import SigningContext
from pkcs11.exceptions import PKCS11Error

from fuki_pkcs11.reasons import DEVICE_HINT, DEVICE_TROUBLES, reason

if TYPE_CHECKING:
    from pkcs11._pkcs11 import lib as Module  # noqa: N812 - that is what it is

LOCK = threading.RLock()
"""Held during all calls of modules, which are initialized for use by one thread at a time (PKCS #11 2.40, 5.4).

All modules share it, because one module may use another, as p11-kit's proxy does.
"""
_users: Counter[Path] = Counter()
"""The number of contexts of this process that use each module."""

_MULTIARCH = sysconfig.get_config_var("MULTIARCH")
_LIBRARIES = (*((f"/usr/lib/{_MULTIARCH}",) if _MULTIARCH else ()), "/usr/lib64", "/usr/lib", "/usr/local/lib")
_DIRECTORIES = tuple(Path(library, directory) for directory in ("pkcs11", "softhsm", ".") for library in _LIBRARIES)
"""Directories that are searched for a `module-name`."""
_USUAL = (
    "softhsm/libsofthsm2.so",
    "opensc-pkcs11.so",
    "libykcs11.so",
    "pkcs11/yubihsm_pkcs11.so",
    "libtpm2_pkcs11.so",
    "p11-kit-proxy.so",
)


def find_module(option: str | None, uri: Pkcs11Uri, directory: Path) -> Path:
    """The module named by the option, else by the URI. The machine's own modules are never used implicitly."""
    where = "key" if option is None else "module-path"
    name = uri.module_name
    if name is not None and (not name or "/" in name):
        hint = "'module-path' takes paths"
        raise RecipeError("'module-name' in the PKCS #11 URI is not a name", where="key", hint=hint)

    named = uri.module_path if option is None else option
    if named is not None:
        path = directory / named
        if not _is(Path.is_dir, path):
            return _existing(path, where)
        directories: tuple[Path, ...] = (path,)
    else:
        directories = _DIRECTORIES

    if name is None:
        raise RecipeError("the PKCS #11 module of the token is not named", where="module-path", hint=_usual())

    for candidate in (place / file for place in directories for file in (f"{name}.so", f"lib{name}.so")):
        if _is(Path.is_file, candidate):
            return candidate.resolve()

    searched = ", ".join(map(str, dict.fromkeys(place.resolve() for place in directories if _is(Path.is_dir, place))))
    raise SigningError(
        f"there is no PKCS #11 module {name!r} in {searched}", where=where, hint="name it by 'module-path'"
    )


def _existing(path: Path, where: str) -> Path:
    if not _is(Path.is_file, path):
        raise SigningError(f"there is no PKCS #11 module {path}", where=where, hint=_usual())
    return path.resolve()


def _is(kind: Callable[[Path], bool], path: Path) -> bool:
    """Whether there is such a file or directory; one that is inaccessible or has too long a name does not count."""
    try:
        return kind(path)
    except OSError:
        return False


def _usual() -> str:
    paths = [Path(library, name) for name in _USUAL for library in _LIBRARIES]
    installed = list(dict.fromkeys(str(path) for path in paths if _is(Path.is_file, path)))
    if installed:
        return f"set 'module-path'; this machine has {', '.join(installed)}"
    return "set 'module-path' to the library that came with the token, for instance /usr/lib/softhsm/libsofthsm2.so"


def open_module(path: Path, context: SigningContext) -> "Module":
    """The module, shared by all signers of a command; it is initialized once per process."""
    return context.once(("pkcs11", path), lambda: _held(path))


@contextmanager
def _held(path: Path) -> Iterator["Module"]:
    with LOCK:
        module = _load(path)
        _users[path] += 1

    try:
        yield module
    finally:
        with LOCK:
            _users[path] -= 1
            if not _users[path]:
                # This also ends sessions that python-pkcs11 lost track of: `Token.open` leaves one open when a PIN is
                # refused.
                with suppress(PKCS11Error):
                    module.finalize()


def others_in_use(path: Path) -> list[str]:
    """The other modules that this process uses, for hints."""
    return sorted(str(other) for other, users in _users.items() if users and other != path)


def _load(path: Path) -> "Module":
    try:
        return pkcs11.lib(str(path))
    except (PKCS11Error, UnicodeError) as error:
        message = f"the PKCS #11 module {path} cannot be used: {reason(error)}"
        raise SigningError(message, where="module-path", hint=_why_unusable(path, error)) from error


def _why_unusable(path: Path, error: Exception) -> str:
    others = others_in_use(path)
    if others and not isinstance(error, UnicodeError):
        return f"if it is behind {', '.join(others)}, which is in use, name one module for all keys"
    if isinstance(error, DEVICE_TROUBLES):
        return DEVICE_HINT
    return "a module is a shared library for this kind of machine, and may need configuration of its own"
