"""Recipes written as `[Fuki]` and as fuki.toml, from the same tables."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

Table = Mapping[str, Any]


def toml_value(value: object) -> str:
    """A value as TOML writes it, in one line."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{toml_value(key)} = {toml_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    if isinstance(value, str):
        # JSON's escapes are TOML's, but for the one character that only TOML escapes.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)


def as_toml(recipe: Table) -> str:
    return "[fuki]\n" + "".join(f"{toml_value(key)} = {toml_value(value)}\n" for key, value in recipe.items())


def as_section(recipe: Table) -> str:
    """`[Fuki]`: what `[fuki]` and `[fuki.image]` have, in one section."""
    own = {key: value for key, value in recipe.items() if key != "image"}
    lines = [line for key, value in (*own.items(), *recipe["image"].items()) for line in _assignments(key, value)]
    return "[Fuki]\n" + "".join(f"{line.replace('%', '%%')}\n" for line in lines)


def _assignments(key: str, value: Any) -> list[str]:  # noqa: ANN401 - recipe data
    name = "".join(word.capitalize() for word in key.split("-"))
    if key in ("variables", "sections", "matrix"):
        return [f"{name}={_pair(item, text)}" for item, text in value.items()]
    if key == "sbat" and isinstance(value, Mapping):
        return [f"{name}={toml_value(value)}"]
    if isinstance(value, Mapping):
        return [f"{name}={_words(value)}"] if set(value) - {"file", "text"} else [f"{name}={toml_value(value)}"]
    if isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        return [f"{name}={_words(item) if set(item) - {'file'} else toml_value(item)}" if isinstance(item, Mapping)
                else f"{name}={shlex.quote(item)}" for item in value]  # fmt: skip
    if isinstance(value, list):
        return [f"{name}=", *(f"{name}={shlex.quote(item)}" for item in value)]

    text = _truth(value) if isinstance(value, bool) else value
    return [f"{name}={shlex.quote(text) if key in ('initrd', 'hwids') else text}"]


def _truth(value: bool) -> str:
    return "yes" if value else "no"


def _words(table: Table) -> str:
    return " ".join(_pair(key, value) for key, value in table.items())


def _pair(key: str, value: object) -> str:
    if isinstance(value, bool):
        text = _truth(value)
    elif isinstance(value, str | int | float):
        text = str(value)
    else:
        text = toml_value(value)
    return shlex.quote(f"{key}={text}")
