"""`fuki match`: which machine gets which firmware from a finished image, by simulating its stub."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from msgspec.structs import replace

from fuki_build import pipeline
from fuki_build.checks.matching import holding
from fuki_build.cli.options import cell_option, json_option
from fuki_build.cli.selecting import chosen_machines, machine_options, profile_option
from fuki_build.errors import MismatchError
from fuki_build.hardware.machine import Machine
from fuki_build.hooks.host import PluginHost
from fuki_build.hooks.records import Expectation
from fuki_build.image.firmware import slices
from fuki_build.image.inspect import inspect
from fuki_build.image.layout import Layout
from fuki_build.image.profiles import find_profiles
from fuki_build.image.section import HAND_OVER
from fuki_build.image.selection import select
from fuki_build.image.selection_view import MatchesDocument, MatchView, view_match
from fuki_build.recipe.expectations import explicit_expectations
from fuki_build.recipe.load import load_recipe
from fuki_build.recipe.machines import find_machines

_COMMAND_LINE = "--expect"


@click.command()
@click.argument("image", type=click.Path(path_type=Path))
@machine_options
@profile_option
@click.option(
    "--expect",
    "expected",
    metavar="MACHINE=FIRMWARE",
    multiple=True,
    help="What a machine, named as in a recipe, is to select; empty for none.",
)
@click.option(
    "--recipe", type=click.Path(path_type=Path), help="Hold the image against the [[fuki.expect]] of this recipe."
)
@cell_option
@click.option("--measured", is_flag=True, help="List the sections that the stub measures into PCR 11, in its order.")
@json_option(lambda: MatchesDocument)
@click.pass_obj
def match(  # noqa: PLR0917 - click passes them by name
    plugins: tuple[str, ...],
    image: Path,
    files: tuple[Path, ...],
    platforms: tuple[str, ...],
    this_machine: bool,
    profile: str | None,
    expected: tuple[str, ...],
    recipe: Path | None,
    cells: tuple[str, ...],
    measured: bool,
    as_json: bool,
) -> None:
    """Tell which firmware and devicetree machines select from IMAGE, through which hardware id.

    Simulates the stub of the image's own version. Exits with 3 when an expectation does not hold.
    """
    host = pipeline.new_host(plugins)
    layout = inspect(image)
    asked = list(_expected(expected, host))
    recipes: Sequence[Expectation] = ()
    if cells and recipe is None:
        raise click.UsageError("--cell is about the matrix of --recipe.")
    if recipe is not None:
        loaded = load_recipe(recipe, None, cells)
        host.load(loaded.recipe.plugins)
        recipes = explicit_expectations(loaded.recipe, loaded.directory, host)
    named = this_machine or files or platforms or asked or recipes
    machines = chosen_machines(host, files, platforms, this_machine=this_machine or not named)
    if not any(section.name == ".hwids" for section in layout.plain_sections):
        click.echo("fuki: warning: the image has no hardware ids (.hwids), so no machine selects anything", err=True)

    matches = tuple(_matches(layout, machines, asked, recipes, profile))
    _show(matches, as_json, measured)

    wrong = [match for match in matches if match.holds is False]
    if wrong:
        first = wrong[0]
        hit = first.firmware
        selected = hit.fwid if hit and hit.present else "no firmware"
        raise MismatchError(
            f"{first.machine} selects {selected}, expected is {first.expected or 'none'}"
            + (f" (and {len(wrong) - 1} more)" if wrong[1:] else ""),
            where=str(image),
        )


def _show(matches: tuple[MatchView, ...], as_json: bool, measured: bool) -> None:
    if as_json:
        from fuki_build.cli.render.json import print_document  # noqa: PLC0415

        print_document(MatchesDocument(matches))
    else:
        from fuki_build.cli.render.machines import show_matches  # noqa: PLC0415

        show_matches(matches, measured=measured)


def _expected(texts: Sequence[str], host: PluginHost) -> Iterator[Expectation]:
    for text in texts:
        name, equals, fwid = text.rpartition("=")
        if not equals:
            raise click.UsageError(f"{text!r} is not MACHINE=FIRMWARE.")
        for machine in find_machines(name, Path(), host, _COMMAND_LINE):
            yield Expectation(machine=machine, fwid=fwid or None, profile=None, where=_COMMAND_LINE, explicit=True)


def _matches(
    layout: Layout,
    machines: Sequence[Machine],
    asked: Sequence[Expectation],
    recipes: Sequence[Expectation],
    profile: str | None,
) -> Iterator[MatchView]:
    """What was asked on the command line holds in every profile, a recipe's word as in the checks."""
    parts = slices(layout.plain_sections)
    has_program = bool(layout.find(HAND_OVER))
    for number in find_profiles(layout, profile):
        for machine in machines:
            yield view_match(machine.name, select(parts, layout.model, machine, number), has_program=has_program)
        for expectation in (*asked, *holding(recipes, number)):
            selection = select(parts, layout.model, expectation.machine, number)
            selected = selection.firmware.key if selection.firmware else None
            match = view_match(expectation.machine.name, selection, has_program=has_program)
            yield replace(match, expected=expectation.fwid, holds=selected == expectation.fwid)
