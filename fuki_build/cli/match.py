"""`fuki match`: which machine gets which firmware from a finished image, by simulating its stub."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import click
from msgspec import Struct
from msgspec.structs import replace

from fuki_build import pipeline
from fuki_build.checks.matching import Expectations
from fuki_build.cli.fleet import each_image, images_argument, json_lines_option
from fuki_build.cli.options import cell_option
from fuki_build.cli.render.json import DocumentPrinter
from fuki_build.cli.render.plain import tell
from fuki_build.cli.selecting import chosen_machines, machine_options, profile_option
from fuki_build.errors import MismatchError
from fuki_build.hardware.machine import Machine
from fuki_build.hooks.host import PluginHost
from fuki_build.hooks.rules import Expectation
from fuki_build.image.firmware import slices
from fuki_build.image.inspect import inspect
from fuki_build.image.layout import Layout
from fuki_build.image.profiles import find_profiles
from fuki_build.image.section import HAND_OVER
from fuki_build.image.selection import Selector
from fuki_build.image.selection_view import MatchesDocument, MatchView, MatchViews
from fuki_build.recipe.expectations import explicit_expectations
from fuki_build.recipe.load import load_recipe
from fuki_build.recipe.machines import find_machines

_COMMAND_LINE = "--expect"


@click.command()
@images_argument
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
@json_lines_option(lambda: MatchesDocument)
@click.pass_obj
def match(  # noqa: PLR0917 - click passes them by name
    plugins: tuple[str, ...],
    images: tuple[Path, ...],
    files: tuple[Path, ...],
    platforms: tuple[str, ...],
    this_machine: bool,
    profile: str | None,
    expected: tuple[str, ...],
    recipe: Path | None,
    cells: tuple[str, ...],
    measured: bool,
    as_json: bool,
) -> int:
    """Tell which firmware and devicetree machines select from each IMAGE, through which hardware id.

    Simulates the stub of the image's own version. Exits with 3 when an expectation does not hold.
    """
    host = pipeline.new_host(plugins)
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
    request = _MatchRequest(machines, asked, Expectations(recipes))

    def match_one(image: Path, printer: DocumentPrinter) -> None:
        layout = inspect(image)
        if not any(section.name == ".hwids" for section in layout.plain_sections):
            tell("fuki: warning: the image has no hardware ids (.hwids), so no machine selects anything")

        wrong = _Mismatches()
        matches = wrong.passing(_matches(layout, request, profile))
        _show(matches, printer if as_json else None, measured)
        wrong.refuse(str(image))

    return each_image(
        images, match_one, as_json=as_json, machines=machines, modules=("fuki_build.cli.render.machines",)
    )


class _MatchRequest(Struct, frozen=True):
    """The machines that are asked about, what is expected in every profile, and what recipes expect as checks do."""

    machines: Sequence[Machine]
    expected: Sequence[Expectation]
    recipes: Expectations


class _Mismatches(Struct):
    """What was expected and does not hold, noticed while matches pass by."""

    first: MatchView | None = None
    count: int = 0

    def passing(self, matches: Iterable[MatchView]) -> Iterator[MatchView]:
        for match in matches:
            if match.holds is False:
                self.first = self.first or match
                self.count += 1
            yield match

    def refuse(self, where: str) -> None:
        """Raises `MismatchError` if there was one."""
        if self.first is None:
            return
        hit = self.first.firmware
        selected = hit.fwid if hit and hit.present else "no firmware"
        raise MismatchError(
            f"{self.first.machine} selects {selected}, expected is {self.first.expected or 'none'}"
            + (f" (and {self.count - 1} more)" if self.count > 1 else ""),
            where=where,
        )


def _show(matches: Iterable[MatchView], printer: DocumentPrinter | None, measured: bool) -> None:
    """Rows of JSON are printed one by one, as machines by profiles are many; a table waits for its widest cells."""
    if printer:
        printer.print_rows(MatchesDocument(()), matches)
    else:
        from fuki_build.cli.render.machines import show_matches  # noqa: PLC0415

        show_matches(tuple(matches), measured=measured)


def _expected(texts: Sequence[str], host: PluginHost) -> Iterator[Expectation]:
    for text in texts:
        name, equals, fwid = text.rpartition("=")
        if not equals:
            raise click.UsageError(f"{text!r} is not MACHINE=FIRMWARE.")
        for machine in find_machines(name, Path(), host, _COMMAND_LINE):
            yield Expectation(machine=machine, fwid=fwid or None, profile=None, where=_COMMAND_LINE, explicit=True)


def _matches(layout: Layout, asked: _MatchRequest, profile: str | None) -> Iterator[MatchView]:
    """The answers on one image. Raises `FukiError` before the first of them."""
    selector = Selector(slices(layout.plain_sections), layout.model)
    views = MatchViews(has_program=bool(layout.find(HAND_OVER)))
    return _answers(selector, views, asked, find_profiles(layout, profile))


def _answers(
    selector: Selector, views: MatchViews, asked: _MatchRequest, profiles: Sequence[int | None]
) -> Iterator[MatchView]:
    for number in profiles:
        for machine in asked.machines:
            yield views.view(machine.name, selector.select(machine, number))
        for expectation in (*asked.expected, *asked.recipes.holding(number)):
            selection = selector.select(expectation.machine, number)
            selected = selection.firmware.key if selection.firmware else None
            match = views.view(expectation.machine.name, selection)
            yield replace(match, expected=expectation.fwid, holds=selected == expectation.fwid)
