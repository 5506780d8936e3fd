"""`--format`: what output formats tell about a finished image, without a recipe."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fuki_build.cli.options import output_type
from fuki_build.cli.standard_output import file_for, is_standard_output, tell_written
from fuki_build.errors import RecipeError
from fuki_build.hooks.host import PluginHost

if TYPE_CHECKING:
    from fuki_build.emit.of_image import ImageFacts

F = TypeVar("F", bound=Callable[..., Any])


def format_options(verb: F) -> F:
    """`--format`, `--set` and `--output`, as `form`, `settings` and `output`."""
    options = (
        click.option(
            "--format", "form", metavar="NAME", help="Write what this output format tells, of a plugin's or built in."
        ),
        click.option(
            "--set",
            "settings",
            metavar="KEY=VALUE",
            multiple=True,
            help="An option of the format, by its name in recipes (repeatable).",
        ),
        click.option("-o", "--output", type=output_type, help="Where the format goes; by default standard output."),
    )
    for option in reversed(options):
        verb = option(verb)
    return verb


def refuse_without_format(form: str | None, settings: tuple[str, ...], output: Path | None) -> None:
    """Raise `UsageError` for options that have a meaning only with `--format`."""
    if form is None and (settings or output is not None):
        raise click.UsageError(f"{'--set' if settings else '--output'} needs --format.")


def refuse_with_format(form: str | None, others: Mapping[str, bool]) -> None:
    """Raise `UsageError` for other ways to show what a format tells; `others` says which were asked for."""
    for name, given in others.items():
        if form is not None and given:
            raise click.UsageError(f"--format and {name} are two ways to tell of it.")


def write_format(
    host: PluginHost,
    name: str,
    options: Mapping[str, tuple[str, Any]],
    settings: tuple[str, ...],
    output: Path | None,
    gather: "Callable[[], ImageFacts]",
) -> None:
    """Write what the format `name` tells of the image that `gather` gives, once the options are known to be good.

    `options` are those of the verb by their names in recipes, each with the option of the command line.
    """
    from msgspec.structs import replace  # noqa: PLC0415 - only where a format was asked for

    from fuki_build.emit.of_image import read_format, tell_about  # noqa: PLC0415
    from fuki_build.signing.request import signing_context  # noqa: PLC0415

    given = {**options, **_read_settings(settings)}
    values = {key: value for key, (_, value) in given.items()}
    places = {key: place for key, (place, _) in given.items()}
    target = Path("-") if output is None else output

    with signing_context(Path()) as signing:
        signing.withhold(values)
        format_output = read_format(host, name, values, places)
        with file_for(target, name) as path:
            facts = gather()
            one_file = is_standard_output(target)
            tell_about(facts, replace(format_output, path=path), host, signing, one_file=one_file)
    tell_written(target)


def _read_settings(settings: tuple[str, ...]) -> Mapping[str, tuple[str, Any]]:
    """Values as texts that the format's options say the types of."""
    from fuki_build.recipe.words import Word  # noqa: PLC0415 - as above

    values: dict[str, tuple[str, Any]] = {}
    for text in settings:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise RecipeError(f"{text!r} is not KEY=VALUE", where="--set", hint="for instance --set template=FILE")
        values[key] = (f"--set {key}", Word(value))
    return values
