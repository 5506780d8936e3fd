"""`fuki diff`: what differs between two finished images, and whether that is allowed."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fuki_build import pipeline
from fuki_build.cli.comparing import Comparison, comparison_options
from fuki_build.cli.launch_options import launch_options
from fuki_build.cli.options import json_option, output_type
from fuki_build.cli.render.plain import tell
from fuki_build.cli.render.progress import progress_bar
from fuki_build.cli.selecting import boot_options
from fuki_build.errors import MismatchError, RecipeError
from fuki_build.image.inspect import inspect
from fuki_build.image.output_file import OutputFile
from fuki_build.recipe.model import LaunchTable

if TYPE_CHECKING:
    from fuki_build.formats.documents import Document
    from fuki_build.formats.uki.sbat import SbatRow
    from fuki_build.hardware.machine import Machine
    from fuki_build.report.differences.forbidding import Violation
    from fuki_build.report.differences.views import ImageDifferences
    from fuki_build.report.gather import ReportOptions
    from fuki_build.signing.authenticode.trust import Trust

_path = click.Path(path_type=Path)


def _document() -> "type[Document]":
    from fuki_build.report.differences.views import ImageDifferences  # noqa: PLC0415 - cryptography is slow to load

    return ImageDifferences


@click.command()
@click.argument("old", type=_path)
@click.argument("new", type=_path)
@click.option(
    "--forbid", "forbidden", metavar="NAME", multiple=True, help="Exit with 3 if this differs, see --list (repeatable)."
)
@click.option(
    "--list",
    is_flag=True,
    is_eager=True,
    callback=lambda context, _, on: _list(context, on=on),
    expose_value=False,
    help="List what --forbid takes, and what counts as a difference.",
)
@comparison_options
@click.option("--phase", "phases", metavar="PATH", multiple=True, help="A path of boot phases (repeatable).")
@boot_options
@click.option(
    "--launch", "with_launches", is_flag=True, help="Launch measurements too, as the options behind this say."
)
@launch_options
@click.option("--html", "page", metavar="FILE", type=output_type, help="Write a page on it, too.")
@json_option(_document)
@click.pass_obj
def diff(  # noqa: PLR0917 - click passes them by name
    plugins: tuple[str, ...],
    /,
    old: Path,
    new: Path,
    forbidden: tuple[str, ...],
    comparison: Comparison,
    phases: tuple[str, ...],
    with_launches: bool,
    launched: LaunchTable,
    page: Path | None,
    as_json: bool,
    **boot: Any,  # noqa: ANN401 - what boot_options give
) -> None:
    """Tell what differs between the images OLD and NEW, UKIs or addons made by anyone.

    Machines are those of all loaded platforms, or those that --machine and --platform name. Exits with 3 if something
    differs that --forbid names.
    """
    from fuki_build.recipe.launch import resolve_launch  # noqa: PLC0415 - cryptography is slow to load
    from fuki_build.report.differences.compare import compare, read_compared  # noqa: PLC0415
    from fuki_build.report.differences.forbidding import check_forbidden, violations  # noqa: PLC0415
    from fuki_build.report.differences.launches import ComparedLaunches  # noqa: PLC0415

    if "pcr7" in forbidden and not (boot["variables"] or boot["lists"]):
        text = "register 7 is made of Secure Boot's variables, and none were given"
        hint = "give the machine's: --variables OVMF_VARS.fd, or --variable db=FILE and the others"
        raise RecipeError(text, where="--forbid", hint=hint)
    host = pipeline.new_host(plugins)
    machines = comparison.machines(host)

    # Who says how guests are launched, or forbids that it differs, asks about it.
    asked = with_launches or "launch" in forbidden or launched != LaunchTable()
    launches = ComparedLaunches(host, resolve_launch(launched, host, Path(), "--launch")) if asked else None

    layouts = inspect(old), inspect(new)
    check_forbidden(forbidden, (section.name for layout in layouts for section in layout.plain_sections))
    options = _options(
        machines,
        comparison.chosen_banks(),
        phases,
        boot,
        trust=comparison.trust(),
        level=comparison.level(),
    )
    with progress_bar(sum(layout.file_size for layout in layouts)) as progress:
        before, after = (read_compared(layout, host, options, progress) for layout in layouts)
    document = compare(before, after, machines, launches, only_machines=comparison.names_machines)

    against = tuple(violations(document, forbidden))
    if page is not None:
        _write(page, document, against)
    _show(document, against, as_json=as_json)
    if against:
        more = f" (and {len(against) - 1} more)" if against[1:] else ""
        names = ", ".join(one.name for one in against)
        raise MismatchError(f"{against[0].reason}{more}", where=str(new), hint=f"forbidden with --forbid: {names}")


def _options(
    machines: "Sequence[Machine]",
    banks: tuple[str, ...],
    phases: Sequence[str],
    boot: dict[str, Any],
    trust: "Trust",
    level: "Sequence[SbatRow]",
) -> "ReportOptions":
    from fuki_build.measure.boot_options import read_boot  # noqa: PLC0415 - cryptography is slow to load
    from fuki_build.measure.registers import PHASES, split_phases  # noqa: PLC0415
    from fuki_build.report.gather import ReportOptions  # noqa: PLC0415
    from fuki_build.report.machines import Group  # noqa: PLC0415
    from fuki_build.signing.secure_boot.boot import with_authorities  # noqa: PLC0415

    how = read_boot(banks, **boot)
    return ReportOptions(
        groups=[Group("", "", machines)],
        banks=banks,
        phases=[split_phases(path) for path in phases or PHASES],
        boot=lambda contents: with_authorities(how, contents),
        trust=trust,
        level=level,
    )


def _write(page: Path, document: "ImageDifferences", against: "Sequence[Violation]") -> None:
    from fuki_build.cli.render.page import page_of_differences  # noqa: PLC0415 - Jinja2 is slow to load

    with OutputFile(page) as file:
        file.write(page_of_differences(document, against).encode())
        file.commit()
    tell(f"wrote {page}")


def _show(document: "ImageDifferences", against: "Sequence[Violation]", *, as_json: bool) -> None:
    if as_json:
        from msgspec.structs import replace  # noqa: PLC0415

        from fuki_build.cli.render.json import print_document  # noqa: PLC0415

        print_document(replace(document, forbidden=tuple(one.name for one in against)))
    else:
        from fuki_build.cli.render.diff import show_differences  # noqa: PLC0415

        show_differences(document)


def _list(context: click.Context, *, on: bool) -> None:
    if on:
        from fuki_build.report.differences.forbidding import NAMES  # noqa: PLC0415 - cryptography is slow to load

        for name, summary in NAMES.items():
            click.echo(f"{name:10} {summary}")
        context.exit()
