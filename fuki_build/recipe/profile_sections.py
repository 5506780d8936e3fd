"""`.profile` sections, and the ids by which a recipe tells profiles apart."""

import re
from collections.abc import Sequence

from fuki_build.errors import FormatError, RecipeError, raised_as
from fuki_build.formats.uki import env_file
from fuki_build.image.blob import Blob
from fuki_build.image.section import Section
from fuki_build.recipe.caller import Caller
from fuki_build.recipe.model import ImageTable, ProfileTable

_ID = re.compile(r"[A-Za-z0-9._-]+")


def profile_section(id_: str, title: str | None, number: int, where: str) -> Section:
    """The `.profile` of that ID and TITLE. Raises `RecipeError` below `where`."""
    if not _ID.fullmatch(id_):
        raise RecipeError(f"{id_!r} is not a profile id", where=f"{where}.id", hint="letters, digits and ._- make one")
    values = [("ID", id_), *([("TITLE", title)] if title else [])]
    with raised_as(RecipeError, f"{where}.title", of=FormatError):
        content = env_file.encode(values)
    return Section(name=".profile", content=Blob.of_bytes(content), source="recipe", profile=number)


def base_profile(table: ImageTable, caller: Caller) -> Section:
    """The `.profile` of `@0`, as the caller or the recipe has it."""
    if caller.profile is not None:
        return Section(name=".profile", content=Blob.of_bytes(caller.profile), source="command line", profile=0)
    return profile_section(table.id, table.title, 0, "fuki.image")


def check_profile_ids(table: ImageTable, profiles: Sequence[ProfileTable]) -> None:
    """Raise `RecipeError` where two profiles of a recipe have one id."""
    for index, profile in enumerate(profiles):
        if profile.id == table.id:
            raise RecipeError(
                f"{table.id!r} is the id of the base's own profile, @0",
                where=f"fuki.profile[{index}].id",
                hint="choose another id, or set fuki.image.id",
            )
    check_unique([profile.id for profile in profiles], "fuki.profile", "id")


def check_unique(names: Sequence[str], where: str, key: str) -> None:
    """Raise `RecipeError` at the second table with a name."""
    for index, name in enumerate(names):
        if name in names[:index]:
            raise RecipeError(f"the {key} {name!r} is given twice", where=f"{where}[{index}].{key}")
