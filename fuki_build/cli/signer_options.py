"""A signer on the command line, as the table that a recipe would have."""

from collections.abc import Sequence
from typing import Any

import click

from fuki_build.errors import FormatError, SigningError
from fuki_build.formats.documents import decode_toml_value

_TOML = ("[", "{", '"', "true", "false")


def signer_table(
    backend: str | None, key: str | None, certificate: str | None, options: Sequence[str]
) -> dict[str, Any]:
    """What the command line says, as a recipe would; empty where it names no backend and no key."""
    named = {"backend": backend, "key": key, "certificate": certificate}
    table: dict[str, Any] = {name: value for name, value in named.items() if value is not None}

    for text in options:
        name, equals, value = text.partition("=")
        if not equals:
            raise click.UsageError(f"{name!r} is not KEY=VALUE.")
        table[name] = _value(name, value)

    if not table:
        return {}
    if "backend" not in table:
        if "key" not in table:
            raise SigningError("nothing says what signs", hint="give --key, or --backend with its options")
        table["backend"] = "local"
    return table


def _value(name: str, text: str) -> Any:  # noqa: ANN401 - TOML data
    """A string as it is; what looks like another TOML value, as that."""
    if not text.startswith(_TOML):
        return text
    try:
        return decode_toml_value(text)
    except FormatError:
        raise click.UsageError(f"the value of {name} is not valid TOML.") from None
