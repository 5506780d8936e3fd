"""Plain data into typed tables, with errors that name the place, the problem and the nearest known key."""

import re
from collections.abc import Mapping
from datetime import date
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import msgspec

from fuki_build.errors import RecipeError, did_you_mean

T = TypeVar("T", bound=msgspec.Struct)

_AT = re.compile(r"^(.*?)(?: - at (?:`key` in )?`\$(.*)`)?$", re.DOTALL)
_UNKNOWN = re.compile(r"unknown field `(.+)`")
_MISSING = re.compile(r"missing required field `(.+)`")
_STEP = re.compile(r"\.([^.\[]+)|\[[^\]]*\]")
_SCHEMA = "see 'fuki schema' for what each key takes"


def convert(data: object, to: type[T], place: str, help_text: str = _SCHEMA) -> T:
    """`data` as a table of type `to`; `RecipeError` names the place below `place`. `help_text` tells more of values."""
    try:
        return msgspec.convert(data, to)
    except msgspec.ValidationError as error:
        raise _explain(error, to, place, data, help_text=help_text) from None


def split(
    data: dict[str, Any], common: type[T], options: type[msgspec.Struct]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A table's keys apart: those that all such tables have, and the options of what it names.

    Unknown keys go with the options, whose conversion then finds them.
    """
    shared = set(keys(common)) - set(keys(options))
    return (
        {key: value for key, value in data.items() if key in shared},
        {key: value for key, value in data.items() if key not in shared},
    )


def keys(table: type[msgspec.Struct]) -> list[str]:
    return [field.encode_name for field in msgspec.structs.fields(table)]


def convert_options(data: object, to: type[T], common: type[msgspec.Struct], place: str) -> T:
    """As `convert`, with the keys of `common` among those that an unknown key may have meant."""
    try:
        return msgspec.convert(data, to)
    except msgspec.ValidationError as error:
        raise _explain(error, to, place, data, keys(common)) from None


def _explain(
    error: msgspec.ValidationError,
    to: type[msgspec.Struct],
    place: str,
    data: object,
    more_keys: list[str] | None = None,
    help_text: str = _SCHEMA,
) -> RecipeError:
    placed = _AT.match(str(error))
    text, path = (placed[1], placed[2] or "") if placed else (str(error), "")
    where = place + path

    unknown = _UNKNOWN.search(text)
    if unknown:
        key = unknown[1]
        table = _struct_at(to, path)
        known = [*(keys(table) if table else []), *((more_keys or []) if table is to else [])]
        hint = did_you_mean(key, known) or f"known keys: {', '.join(sorted(known))}"
        return RecipeError(f"unknown key {key!r}", where=f"{where}.{key}", hint=hint)

    missing = _MISSING.search(text)
    if missing:
        return RecipeError(f"{missing[1]!r} is missing", where=where, hint=f"add {missing[1]} = … there")

    hint = _quoted(text, path, data) or help_text
    return RecipeError(_plain(text), where=where, hint=hint)


def _quoted(text: str, path: str, data: object) -> str | None:
    """A hint for a number, date or boolean in place of a text: the same in quotes."""
    if not re.match(r"Expected `str[`\s|]", text):
        return None
    for step in path.removeprefix(".").split("."):
        if not isinstance(data, Mapping) or step not in data:
            return None
        data = data[step]
    if isinstance(data, bool):
        return f'did you mean "{str(data).lower()}", in quotes?'
    return f'did you mean "{data}", in quotes?' if isinstance(data, int | float | date) else None


def _plain(text: str) -> str:
    """Types by TOML's names instead of msgspec's."""
    for word, plain in (
        ("`object`", "a table"),
        ("`array`", "a list"),
        ("`str`", "a string"),
        ("`null`", "nothing"),
    ):
        text = text.replace(word, plain)

    text = re.sub(
        r"`([^`]*)`",
        lambda m: (
            m[1].replace("object", "table").replace("array", "list").replace("str", "string").replace(" | ", " or ")
        ),
        text,
    )

    return text[:1].lower() + text[1:]


def _struct_at(table: type[msgspec.Struct], path: str) -> type[msgspec.Struct] | None:
    """The struct type that stands at msgspec's error path, if one does."""
    table_type: Any = table
    for step in _STEP.finditer(path):
        if step[1] is not None:
            fields = {field.encode_name: field.type for field in msgspec.structs.fields(table_type)}
            table_type = fields.get(step[1])
        table_type = _struct_in(table_type)
        if table_type is None:
            return None
    return table_type if isinstance(table_type, type) else None


def _struct_in(annotation: Any) -> type[msgspec.Struct] | None:  # noqa: ANN401 - any annotation
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return annotation
    if get_origin(annotation) in (Union, UnionType) or get_args(annotation):
        for argument in get_args(annotation):
            struct = _struct_in(argument)
            if struct is not None:
                return struct
    return None
