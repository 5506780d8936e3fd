"""Where two launches first differ."""

from collections.abc import Sequence
from itertools import zip_longest

from fuki_build.hooks.launch import LaunchStep


def first_difference(
    left: Sequence[LaunchStep], right: Sequence[LaunchStep]
) -> tuple[int, LaunchStep | None, LaunchStep | None] | None:
    """The first step, counted from 0, that is not the same, on both sides; None for a side that has no more."""
    for number, (one, other) in enumerate(zip_longest(left, right)):
        if one != other:
            return number, one, other
    return None


def step_in_words(step: LaunchStep | None) -> str:
    """A step without its content's digest."""
    return "nothing more" if step is None else f"{step.part}: {step.kind} at {step.address:#x}"
