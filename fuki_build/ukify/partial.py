"""Partial recipes: what a caller of ukify cannot say, in a file that is found beside the call."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from fuki_build.errors import RecipeError

VARIABLE = "FUKI_RECIPE"
NAME = "fuki.toml"
SYSTEM = Path("/etc/fuki")


def find_partial(
    drop_in: Path | None = None, environment: Mapping[str, str] = os.environ, system: Path = SYSTEM
) -> Path | None:
    """The partial recipe of a call: the first that there is, or None.

    `$FUKI_RECIPE` (empty: none at all); beside the program named ukify that was called, by its real path; in
    `$KERNEL_INSTALL_CONF_ROOT`, or else `/etc/kernel`; in `/etc/fuki`. Raises `RecipeError` where the first names
    nothing: what was asked for is not left out silently.
    """
    named = environment.get(VARIABLE)
    if named is not None:
        path = Path(named)
        path = path / NAME if path.is_dir() else path
        if named and not path.is_file():
            raise RecipeError(f"there is no recipe {path}", where=VARIABLE, hint="unset it, or name a partial recipe")
        return path if named else None
    return next(
        (path for directory in _directories(drop_in, environment, system) if (path := directory / NAME).is_file()), None
    )


def _directories(drop_in: Path | None, environment: Mapping[str, str], system: Path) -> Iterator[Path]:
    if drop_in is not None:
        yield drop_in.resolve().parent
    yield Path(environment.get("KERNEL_INSTALL_CONF_ROOT") or system.parent / "kernel")
    yield system
