"""How much is said on standard error."""

from enum import IntEnum


class Talk(IntEnum):
    """What `--quiet` and `--verbose` ask for."""

    QUIET = 0
    """Errors only."""
    USUAL = 1
    VERBOSE = 2
    """Notes too, where others leave them out, and the cause of an error."""


level = Talk.USUAL


def choose(chosen: Talk) -> None:
    """Say as much from now on."""
    global level  # noqa: PLW0603 - what a process prints is one thing
    level = chosen
