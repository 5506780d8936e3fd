"""Whether output is coloured."""

import os
from enum import StrEnum
from typing import TextIO


class ColourChoice(StrEnum):
    """What `--color` takes."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


_choice = ColourChoice.AUTO


def choose(choice: ColourChoice) -> None:
    """Colour from now on as the command line says."""
    global _choice  # noqa: PLW0603 - what a process prints is one thing
    _choice = choice


def wanted(stream: TextIO) -> bool:
    """Whether escape codes may go there: where the command line says so.

    By default to a terminal that knows them, unless NO_COLOR (no-color.org) is set.
    """
    if _choice is not ColourChoice.AUTO:
        return _choice is ColourChoice.ALWAYS
    return stream.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("NO_COLOR")
