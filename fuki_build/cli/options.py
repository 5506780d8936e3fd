"""Arguments that several verbs share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from fuki_build.formats.documents import Document

F = TypeVar("F", bound=Callable[..., Any])
Documents = Callable[[], type[Document] | tuple[type[Document], ...]]

recipe_argument = click.argument("recipe", type=click.Path(path_type=Path), required=False)
cell_option = click.option(
    "--cell",
    "cells",
    metavar="AXIS=VALUE,…",
    multiple=True,
    help="Of a matrix, only these cells; values may have wildcards (repeatable).",
)
output_type = click.Path(path_type=Path)
digest_option = click.option(
    "--digest",
    type=click.Choice(["sha256", "sha384", "sha512"]),
    default="sha256",
    show_default=True,
    help="Algorithm of the digest; firmware is sure to know SHA-256 only.",
)


def prints(document: Documents) -> Callable[[F], F]:
    """Tell which document a verb prints, or which of several, for `fuki schema --of`.

    It is called when somebody asks: documents of what is slow to load may be imported in it.
    """

    def mark(function: F) -> F:
        function.document = document  # type: ignore[attr-defined]
        return function

    return mark


def json_option(document: Documents, text: str = "Print JSON.") -> Callable[[F], F]:
    """The option `--json`, `as_json` in the verb, with the document that it prints then."""
    option = click.option("--json", "as_json", is_flag=True, help=text)
    return lambda function: option(prints(document)(function))


def documents_of(command: click.Command) -> tuple[type[Document], ...]:
    """The documents that a verb may print, one at a time; none if it prints no JSON."""
    document: Documents = getattr(command.callback, "document", tuple)
    documents = document()
    return documents if isinstance(documents, tuple) else (documents,)


def is_given(name: str) -> bool:
    """Whether an option of the verb that runs, by its parameter's name, was given, and is not its default."""
    source = click.get_current_context().get_parameter_source(name)
    return source is not click.core.ParameterSource.DEFAULT
