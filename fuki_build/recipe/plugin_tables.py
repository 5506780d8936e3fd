"""Tables that name a plugin's contribution under one of their keys, and have its options beside that."""

from collections.abc import Callable, Mapping
from typing import Any, Generic, Protocol, TypeVar

from msgspec import Struct
from msgspec.structs import fields

from fuki_build.errors import RecipeError, did_you_mean, located
from fuki_build.hooks.host import Contribution
from fuki_build.hooks.options import NoOptions
from fuki_build.recipe.convert import convert, convert_options, split
from fuki_build.recipe.words import read_words


class _Configurable(Protocol):
    """What can be named in a table: a class whose `Options` are the keys that it adds."""

    Options: Any


C = TypeVar("C", bound=_Configurable)
T = TypeVar("T", bound=Struct)


class PluginTable(Struct, Generic[C, T], frozen=True, kw_only=True):
    """What a table names, the keys that all such tables have, and its own options."""

    contribution: Contribution[C]
    table: T
    options: Any


def read_plugin_table(
    data: Mapping[str, Any],
    key: str,
    common: type[T],
    find: Callable[[str], Contribution[C]],
    where: str,
    *,
    key_place: str | None = None,
) -> PluginTable[C, T]:
    """The contribution that a table names under `key`, if only by default, with its options.

    `common` has the keys of all such tables, `find` is the host's look-up of names. Raises `RecipeError` at the place
    in the table, for an unknown name at `key_place`, which by default is that of the key.
    """
    defaults = {field.encode_name: field.default for field in fields(common)}
    name = data.get(key, defaults[key])
    if not isinstance(name, str):
        # Without a name no option can be told from a mistake: what is wrong with the key itself is said first.
        misspelled = None if key in data else next((other for other in data if did_you_mean(other, [key])), None)
        if misspelled is not None:
            hint = did_you_mean(misspelled, [key])
            raise RecipeError(f"unknown key {misspelled!r}", where=f"{where}.{misspelled}", hint=hint)
        convert(split(read_words(data, where, common), common, NoOptions)[0], common, where)
    with located(key_place or f"{where}.{key}"):
        contribution = find(name)

    own_options = contribution.thing.Options
    shared, rest = split(read_words(data, where, own_options, common), common, own_options)
    return PluginTable(
        contribution=contribution,
        table=convert(shared, common, where),
        options=convert_options(rest, own_options, common, where),
    )
