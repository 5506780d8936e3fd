"""`[[fuki.expect]]`: what machines are to select."""

from collections.abc import Sequence
from pathlib import Path

from fuki_build.errors import RecipeError, did_you_mean
from fuki_build.hooks.host import PluginHost
from fuki_build.hooks.rules import Expectation
from fuki_build.recipe.machines import find_machines
from fuki_build.recipe.model import Recipe


def explicit_expectations(
    recipe: Recipe,
    directory: Path,
    host: PluginHost,
    read: list[Path] | None = None,
    profiles: Sequence[str] | None = None,
) -> Sequence[Expectation]:
    """One expectation for each machine that a table names; files are added to `read`.

    `profiles` are the ids of the image's profiles, by number, where these are not the recipe's own.
    Raises `RecipeError` at its place.
    """
    ids = profiles or [recipe.image.id, *(profile.id for profile in recipe.profile)]
    expectations: list[Expectation] = []
    for index, table in enumerate(recipe.expect):
        where = f"fuki.expect[{index}]"
        if table.profile is not None and table.profile not in ids:
            hint = did_you_mean(table.profile, ids) or f"there are: {', '.join(ids)}"
            raise RecipeError(f"there is no profile {table.profile!r}", where=f"{where}.profile", hint=hint)
        profile = ids.index(table.profile) if table.profile is not None and (profiles or recipe.profile) else None
        machines = find_machines(table.machine, directory, host, f"{where}.machine", read)
        expectations += [
            Expectation(machine=machine, fwid=table.firmware, profile=profile, where=where, explicit=True)
            for machine in machines
        ]

    return expectations
