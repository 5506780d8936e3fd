"""The workshop's recipe, changed in one place."""

from collections.abc import Mapping

from tests.support.workshop import workshop_recipe

Mistakes = Mapping[str, tuple[str, str, str, str]]
"""By what is wrong: the recipe, the place that the error names, a part of the problem, a part of the remedy."""

RECIPE = workshop_recipe()
CMDLINE = "root=LABEL=root"
FIRMWARE = '[[fuki.firmware]]\nsource = "directory"\npath = "fw"\n'


def swap(old: str, new: str) -> str:
    assert old in RECIPE
    return RECIPE.replace(old, new, 1)


def top(text: str) -> str:
    """The recipe with `text` among the keys of [fuki]."""
    return swap("[fuki.image]", f"{text}\n[fuki.image]")


def more(text: str) -> str:
    return RECIPE + text
