"""Recipes for tests: what a test is about is all that it writes."""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path


def recipe(
    more: str = "",
    *,
    name: str | None = "acme",
    version: str | None = None,
    plugins: Iterable[str] = (),
    environment: Iterable[str] = (),
    templates: Iterable[str] = (),
    silence: Iterable[str] = (),
    **image: object,
) -> str:
    r"""The text of a recipe: `[fuki]`, `[fuki.image]` with the keys `image`, and `more` behind them, in TOML.

    The image has the stub `stub`, the kernel `vmlinuz` and an os-release of one line, unless `image` says otherwise;
    None leaves a key out. Keys have underscores for dashes. Values are strings, paths, numbers, and lists and mappings
    of these.

    >>> print(recipe('[[fuki.output]]\nformat = "uki"', plugins=["aws"], os_release="os-release", cmdline="quiet"))
    [fuki]
    name = "acme"
    plugins = ["aws"]
    <BLANKLINE>
    [fuki.image]
    stub = "stub"
    linux = "vmlinuz"
    os-release = "os-release"
    cmdline = "quiet"
    <BLANKLINE>
    [[fuki.output]]
    format = "uki"
    <BLANKLINE>
    """
    keys = {"stub": "stub", "linux": "vmlinuz", "os_release": {"text": "ID=acme\n"}} | image
    return partial_recipe(
        more,
        name=name,
        version=version,
        plugins=plugins,
        environment=environment,
        templates=templates,
        silence=silence,
        **keys,
    )


def partial_recipe(
    more: str = "",
    *,
    name: str | None = None,
    version: str | None = None,
    plugins: Iterable[str] = (),
    environment: Iterable[str] = (),
    templates: Iterable[str] = (),
    silence: Iterable[str] = (),
    **image: object,
) -> str:
    """The text of a recipe that somebody completes, such as a call of ukify or a base image: only what is given.

    It is written as `recipe` writes it; without keys for the image there is no `[fuki.image]`.

    >>> print(partial_recipe(cmdline="quiet"))
    [fuki]
    <BLANKLINE>
    [fuki.image]
    cmdline = "quiet"
    <BLANKLINE>
    """
    top = {"name": name, "version": version}
    lists = {"plugins": plugins, "environment": environment, "templates": templates, "silence": silence}
    head = _lines(top) + _lines({key: list(values) or None for key, values in lists.items()})
    keys = _lines(image)

    tables = [f"[fuki]\n{head}", f"[fuki.image]\n{keys}" if keys else "", f"{more.strip()}\n" if more.strip() else ""]
    return "\n".join(filter(None, tables))


def _lines(keys: Mapping[str, object]) -> str:
    return "".join(f"{_key(key)} = {_value(value)}\n" for key, value in keys.items() if value is not None)


def _key(key: str) -> str:
    """A key in TOML: bare where it may be."""
    return key.replace("_", "-") if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _value(key)


def _value(value: object) -> str:
    """A value in TOML: its strings, numbers and booleans are those of JSON, but for the escape of DEL."""
    match value:
        case Mapping():
            return "{ " + ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items()) + " }"
        case list() | tuple():
            return f"[{', '.join(map(_value, value))}]"
        case Path():
            return _value(str(value))
        case _:
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
