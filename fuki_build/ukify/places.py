"""Errors about a recipe, told at the options of a call that brought what is wrong."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fuki_build.errors import FukiError
from fuki_build.recipe.caller import ADDED, Caller
from fuki_build.ukify.call import UkifyCall
from fuki_build.ukify.options import OPTIONS, Option

_TABLE = re.compile(r"fuki\.([a-z-]+)\[([0-9]+)\](?:\.([a-z-]+))?")
_INSERTED = "--only"
"""Where outputs are that no table of a recipe asks for."""


def in_callers_terms(error: FukiError, call: UkifyCall, caller: Caller, recipe: Path | None) -> None:
    """Place an error at the option that brought what is wrong, or at the setting of ukify.conf in its place.

    Faults of the partial recipe's own, where there is one, stay there.

    `caller` is what the call brings, as far as it was read.
    """
    place = error.where or ""
    option = _option(place, call, caller)
    if option is not None:
        error.where, error.origin = option.flag, None
    elif (match := _TABLE.match(place)) and match[1] in ADDED:
        # The recipe's own tables are counted from the first in the recipe.
        number = int(match[2]) - len(_tables(match[1], caller))
        error.where = f"fuki.{match[1]}[{number}]{place[match.end(2) + 1 :]}"
    elif error.where == _INSERTED or (error.where is None and _is_about_output(error, call)):
        error.where = "--output"

    # What the command line does not give comes from ukify.conf.
    given = next((option for option in OPTIONS if option.flag == error.where), None)
    if given is not None:
        error.where = call.options.settings.get(given.attribute, given.flag)

    if recipe is None and error.hint:
        error.hint = _with_options(error.hint)


def _option(place: str, call: UkifyCall, caller: Caller) -> Option | None:
    if not _is_callers(place, caller):
        return None
    given = [option for option in OPTIONS if getattr(call.options, option.attribute)]
    exact = [option for option in given if option.place and _below(place, option.place)]
    beside = [option for option in given if option.stands_for and _below(place, option.stands_for)]
    # Of options about one table, the last is the one that is most about it.
    return next(reversed(exact), next(iter(beside), None))


def _is_callers(place: str, caller: Caller) -> bool:
    """Whether a caller has to do with that place: lists have the caller's tables first, then the recipe's."""
    match = _TABLE.match(place)
    if match is None or match[1] not in {*ADDED, "profile"}:
        return True
    own = _tables(match[1], caller)
    if int(match[2]) >= len(own):
        return False
    # Profiles of one id are taken together key by key.
    return match[1] != "profile" or match[3] is None or match[3] in own[int(match[2])]


def _tables(key: str, caller: Caller) -> list[Mapping[str, Any]]:
    """The caller's tables of a list."""
    tables = caller.tables.get(key, ())
    return [tables] if isinstance(tables, Mapping) else list(tables)


def _below(place: str, key: str) -> bool:
    rest = place.removeprefix(key)
    plain = place.startswith(key) and rest[:1] in {"", ".", "["}
    # Tables of a list have a number behind the list's name.
    table, _, last = key.rpartition(".")
    return plain or (place.startswith(f"{table}[") and place.rpartition("].")[2].partition("[")[0] == last)


def _is_about_output(error: FukiError, call: UkifyCall) -> bool:
    return error.message.startswith(f"cannot write {call.one('output')}:")


def _with_options(hint: str) -> str:
    """A hint with options in the place of the recipe's keys, for those who have no recipe."""
    for option in OPTIONS:
        if option.place and option.place.count(".") > 1:
            hint = re.sub(rf"{re.escape(option.place)}\b", option.flag, hint)
    return hint
