"""`fuki report`: one page about a finished image, for a security review."""

from pathlib import Path
from typing import Any

import click

from fuki_build import pipeline
from fuki_build.cli.machine import read_machine
from fuki_build.cli.measure import bank_option, chosen_banks
from fuki_build.cli.options import output_type
from fuki_build.cli.render.plain import tell
from fuki_build.cli.render.progress import progress_bar
from fuki_build.cli.selecting import boot_options
from fuki_build.cli.trusting import read_level, read_trust, trust_options
from fuki_build.image.inspect import inspect
from fuki_build.image.output_file import OutputFile
from fuki_build.measure.boot_options import read_boot
from fuki_build.measure.registers import PHASES, split_phases
from fuki_build.signing.secure_boot.boot import with_authorities


@click.command()
@click.argument("image", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=output_type, help="The page; '-' is standard output.")
@trust_options
@click.option(
    "--machine",
    "files",
    metavar="FILE",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A machine file or dump, beside the loaded platforms (repeatable).",
)
@click.option("--phase", "phases", metavar="PATH", multiple=True, help="A path of boot phases (repeatable).")
@bank_option
@boot_options
@click.pass_obj
def report(  # noqa: PLR0917 - click passes them by name
    plugins: tuple[str, ...],
    /,
    image: Path,
    output: Path,
    certificates: tuple[Path, ...],
    db: tuple[Path, ...],
    dbx: tuple[Path, ...],
    sbat_level: Path | None,
    files: tuple[Path, ...],
    phases: tuple[str, ...],
    banks: tuple[str, ...],
    **boot: Any,  # noqa: ANN401 - what boot_options give
) -> None:
    """Write an HTML page about IMAGE, any UKI or addon: what it is, who signed it, what it selects and measures.

    The page is one file without scripts and without anything from elsewhere. Platforms are those of the built-in and
    of loaded plugins: fuki --plugin gcp report IMAGE -o report.html.
    """
    from fuki_build.cli.render.page import page_of  # noqa: PLC0415 - Jinja2 and cryptography are slow to load
    from fuki_build.report.gather import ReportOptions, gather  # noqa: PLC0415
    from fuki_build.report.machines import Group, platform_groups  # noqa: PLC0415

    host = pipeline.new_host(plugins)
    layout = inspect(image)
    groups = platform_groups(host)
    if files:
        groups.append(Group("Machine files", "--machine", [read_machine(file) for file in files]))
    chosen = chosen_banks(banks)
    how = read_boot(chosen, **boot)
    options = ReportOptions(
        groups=groups,
        trust=read_trust(certificates, db, dbx),
        level=read_level(sbat_level),
        banks=chosen,
        phases=[split_phases(path) for path in phases or PHASES],
        boot=lambda contents: with_authorities(how, contents),
    )
    with progress_bar(layout.file_size) as progress:
        page = page_of(gather(layout, host, options, progress)).encode()
    if str(output) == "-":
        click.echo(page, nl=False)
        return
    with OutputFile(output) as file:
        file.write(page)
        file.commit()
    tell(f"wrote {output}")
