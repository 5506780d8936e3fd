"""A signer on the command line, as the table that a recipe would have."""

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, TypeVar, cast

import click

from fuki_build.errors import FormatError, RecipeError, SigningError
from fuki_build.formats.documents import decode_toml_value

F = TypeVar("F", bound=Callable[..., Any])
_TOML = ("[", "{", '"', "true", "false")


def signer_options(
    backend: str = "Sign with this backend; by default local, if there is a --key.",
    *,
    key: str = "The backend's option 'key': for local, a file.",
    certificate: str = "The backend's option 'certificate'.",
    certificate_option: str = "--certificate",
) -> Callable[[F], F]:
    """The options that name a signer, as one argument `signer`: a table as a recipe has it, empty where none is named.

    The texts are those of `--help`.
    """
    options = (
        click.option("--backend", metavar="NAME", help=backend),
        click.option("--key", help=key),
        click.option(certificate_option, "certificate", metavar="FILE", help=certificate),
        click.option(
            "-O", "--option", "options", metavar="KEY=VALUE", multiple=True, help="Another option of it (repeatable)."
        ),
    )

    def with_options(verb: F) -> F:
        @wraps(verb)
        def with_signer(
            *arguments: Any,  # noqa: ANN401 - what click passes
            backend: str | None,
            key: str | None,
            certificate: str | None,
            options: tuple[str, ...],
            **others: Any,  # noqa: ANN401
        ) -> Any:  # noqa: ANN401
            return verb(*arguments, signer=signer_table(backend, key, certificate, options), **others)

        decorated = cast("F", with_signer)
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return with_options


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


def key_table(text: str, option: str) -> Mapping[str, Any]:
    """A signer as an inline TOML table, with or without its braces. Raises `RecipeError` at the option."""
    inner = text.strip().removeprefix("{").removesuffix("}")
    try:
        table: dict[str, Any] = decode_toml_value(f"{{{inner}}}")
    except FormatError:
        hint = """quote values, as in: backend = "local", key = "id.key\""""
        raise RecipeError("this is no TOML", where=option, hint=hint) from None
    return table


def _value(name: str, text: str) -> Any:  # noqa: ANN401 - TOML data
    """A string as it is; what looks like another TOML value, as that."""
    if not text.startswith(_TOML):
        return text
    try:
        return decode_toml_value(text)
    except FormatError:
        raise click.UsageError(f"the value of {name} is not valid TOML.") from None
