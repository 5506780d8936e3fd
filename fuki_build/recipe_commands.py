"""Whether a recipe may have programs of its choice run: by default it may."""

import os

from fuki_build.errors import RecipeError

FORBIDDING = "FUKI_NO_COMMANDS"
"""The variable that forbids it, whatever the caller says; `fuki --no-commands` sets it."""
_UNSET = ("", "0", "false", "no", "off")


def commands_allowed() -> bool:
    """What the environment says."""
    return os.environ.get(FORBIDDING, "").lower() in _UNSET


def check_command(program: str, where: str | None, *, allowed: bool = True) -> None:
    """Raise `RecipeError` if no program, and no library, that a recipe names may run.

    `where` is the option that names it; None where the caller adds the place.
    """
    if not (allowed and commands_allowed()):
        hint = f"it would run as you: read the recipe first; --no-commands or {FORBIDDING} forbids it here"
        raise RecipeError(f"the recipe has {program} run, and commands of recipes are off", where=where, hint=hint)
