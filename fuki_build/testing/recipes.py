"""Recipes for tests: what a test is about is all that it writes."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path


def recipe(
    more: str = "",
    *,
    name: str = "acme",
    version: str | None = None,
    plugins: Iterable[str] = (),
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
    top = {"name": name, "version": version, "plugins": list(plugins) or None, "silence": list(silence) or None}
    keys = {"stub": "stub", "linux": "vmlinuz", "os_release": {"text": "ID=acme\n"}} | image
    tables = [f"[fuki]\n{_lines(top)}", f"[fuki.image]\n{_lines(keys)}", *([f"{more.strip()}\n"] if more else [])]
    return "\n".join(tables)


def _lines(keys: Mapping[str, object]) -> str:
    return "".join(f"{_key(key)} = {_value(value)}\n" for key, value in keys.items() if value is not None)


def _key(key: str) -> str:
    return key.replace("_", "-")


def _value(value: object) -> str:
    """A value in TOML; its strings, numbers and booleans are those of JSON, but for DEL, which no test writes."""
    match value:
        case Mapping():
            return "{ " + ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items()) + " }"
        case list() | tuple():
            return f"[{', '.join(map(_value, value))}]"
        case Path():
            return json.dumps(str(value), ensure_ascii=False)
        case _:
            return json.dumps(value, ensure_ascii=False)
