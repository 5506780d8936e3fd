"""The command that builds a cell, as build systems are told it, with paths relative to the current directory."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fuki_build.recipe.load import LoadedRecipe, find_recipe


def program(plugins: Sequence[str], *verb: str) -> list[str]:
    """The first words of a command: fuki with its plugins, and the verb."""
    return ["fuki", *(word for name in plugins for word in ("--plugin", name)), *verb]


def recipe_words(recipe: Path | None, given: dict[str, Any]) -> list[str]:
    """The recipe, and the options that bring inputs to it, as they were given."""
    return [str(find_recipe(recipe)), *_options(given)]


def cell_choice(loaded: LoadedRecipe) -> list[str]:
    """The option that chooses a cell of a matrix, nothing for a recipe that has none."""
    return ["--cell", loaded.cell_id] if loaded.cell_id else []


def _options(given: dict[str, Any]) -> Iterator[str]:
    for name, value in given.items():
        option = "--set" if name == "variables" else f"--{name.replace('_', '-')}"
        for item in value if isinstance(value, tuple) else () if value is None else (value,):
            yield from (option, str(item))
