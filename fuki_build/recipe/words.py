"""Values of an mkosi.conf as what their keys take: texts, numbers, truth values, lists, and tables as in TOML."""

import re
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from fuki_build.errors import FormatError, RecipeError, raised_as
from fuki_build.formats import documents
from fuki_build.formats.truth_values import truth_value

_NUMBER = re.compile(r"[+-]?[0-9][0-9A-Fa-fxob_.+-]{0,30}")


class Word(str):
    """A text of a table that names a plugin's contribution: what its key takes is known when that is found."""

    __slots__ = ()


def read_value(text: str, annotation: Any, where: str) -> Any:  # noqa: ANN401 - any annotation gives any value
    """A text as what a key of this type takes.

    Lists are separated by commas, or in brackets as in TOML; tables are as in TOML. What cannot be read is left as it
    is, for the conversion to complain about; only what begins as TOML and is none raises `RecipeError` at `where`.
    """
    kinds = tuple(_alternatives(annotation))
    items = items_of(annotation)

    if bool in kinds and not _is_named(text, kinds) and (truth := truth_value(text)) is not None:
        return truth
    if (int in kinds or float in kinds) and (number := _number(text, float_too=float in kinds)) is not None:
        return number
    if takes_table(annotation) and opens_table(text):
        return read_toml(text, where)
    return text if items is None else _list(text, items, where)


def read_words(data: Mapping[str, Any], where: str, *tables: type[msgspec.Struct]) -> dict[str, Any]:
    """A table with each word as what its key takes in the first of `tables` that has it. Raises `RecipeError`."""
    kinds = {field.encode_name: field.type for table in reversed(tables) for field in msgspec.structs.fields(table)}
    return {
        key: read_value(str(value), kinds.get(key, str), f"{where}.{key}") if isinstance(value, Word) else value
        for key, value in data.items()
    }


def items_of(annotation: Any) -> Any:  # noqa: ANN401 - any annotation
    """The type of a list's items, None where the type has no list."""
    return next((get_args(kind)[0] for kind in _alternatives(annotation) if get_origin(kind) is tuple), None)


def takes_table(annotation: Any) -> bool:  # noqa: ANN401 - any annotation
    return any(
        get_origin(kind) is dict or (isinstance(kind, type) and issubclass(kind, msgspec.Struct))
        for kind in _alternatives(annotation)
    )


def opens_table(text: str) -> bool:
    """Whether it begins as a table, and not as a template's `{{`, `{%` or `{#`."""
    return text.startswith("{") and text[1:2] not in {"{", "%", "#"}


def read_toml(text: str, where: str) -> Any:  # noqa: ANN401 - TOML data
    with raised_as(RecipeError, where, of=FormatError, about=f"{text!r} is not a TOML value"):
        return documents.decode_toml_value(text)


def _list(text: str, items: Any, where: str) -> Any:  # noqa: ANN401 - any annotation gives any value
    if text.startswith("["):
        return read_toml(text, where)
    if takes_table(items) and opens_table(text):
        return [read_toml(text, where)]
    return [read_value(word, items, where) for word in text.split(",")] if text else []


def _alternatives(annotation: Any) -> Iterator[Any]:  # noqa: ANN401 - any annotation
    """The types that a value may have, without what is noted beside them."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for alternative in get_args(annotation):
            yield from _alternatives(alternative)
    else:
        yield annotation


def _is_named(text: str, kinds: Iterable[Any]) -> bool:
    """Whether a type names this very text among its values."""
    return any(
        text in (get_args(kind) if get_origin(kind) is Literal else list(kind))
        for kind in kinds
        if get_origin(kind) is Literal or (isinstance(kind, type) and issubclass(kind, StrEnum))
    )


def _number(text: str, *, float_too: bool) -> int | float | None:
    """A number as TOML writes it."""
    if not _NUMBER.fullmatch(text):
        return None
    try:
        value = documents.decode_toml_value(text)
    except FormatError:
        return None
    is_number = isinstance(value, int | float) if float_too else isinstance(value, int)
    return value if is_number and not isinstance(value, bool) else None
