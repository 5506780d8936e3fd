"""Options that bring inputs to a recipe: paths are relative to the current directory."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from fuki_build.recipe.caller import Caller

F = TypeVar("F", bound=Callable[..., Any])
_file = click.Path(path_type=Path)
_OPTIONS = (
    click.option("--linux", type=_file, help="The kernel, in place of the recipe's."),
    click.option("--initrd", type=_file, multiple=True, help="An initrd, in place of the recipe's (repeatable)."),
    click.option("--cmdline", metavar="TEXT|@FILE", help="The kernel command line, in place of the recipe's."),
    click.option("--os-release", type=_file, help="The os-release file, in place of the recipe's."),
    click.option("--stub", type=_file, help="The stub, in place of the recipe's."),
    click.option(
        "--set", "variables", metavar="NAME=VALUE", multiple=True, help="One of the recipe's variables (repeatable)."
    ),
)


def caller_options(command: F) -> F:
    """Add the options to a verb."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def caller_of(
    *,
    linux: Path | None,
    initrd: tuple[Path, ...],
    cmdline: str | None,
    os_release: Path | None,
    stub: Path | None,
    variables: tuple[str, ...],
) -> Caller | None:
    """What the options bring; None where none was given. Raises `click.UsageError`."""
    image: dict[str, Any] = {
        key: os.path.abspath(path)  # noqa: PTH100 - symbolic links stay what they are
        for key, path in (("linux", linux), ("os-release", os_release), ("stub", stub))
        if path is not None
    }

    if initrd:
        image["initrd"] = [os.path.abspath(path) for path in initrd]  # noqa: PTH100 - as above
    if cmdline is not None:
        image["cmdline"] = {"file": os.path.abspath(cmdline[1:])} if cmdline.startswith("@") else cmdline  # noqa: PTH100

    pairs = {}
    for text in variables:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.UsageError(f"--set wants NAME=VALUE, not {text!r}.")
        pairs[name] = value

    tables = {key: table for key, table in (("image", image), ("variables", pairs)) if table}
    return Caller(tables=tables) if tables else None
