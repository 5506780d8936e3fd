"""`fuki inspect`: what any UKI or addon is made of."""

import sys
from pathlib import Path

import click

from fuki_build.cli.fleet import cache_option, each_image, json_lines_option
from fuki_build.cli.options import output_type
from fuki_build.cli.render.json import DocumentPrinter
from fuki_build.cli.render.progress import progress_bar
from fuki_build.image.addresses import content_of, find_section, parse_address
from fuki_build.image.blob import Blob
from fuki_build.image.describe import LayoutView, describe
from fuki_build.image.digest_cache import digest_image, keeping_digests
from fuki_build.image.digest_plan import DESCRIBED_DIGESTS
from fuki_build.image.inspect import inspect as inspect_image
from fuki_build.image.layout import Layout
from fuki_build.image.output_file import OutputFile
from fuki_build.image.reading import read_pieces


@click.command()
@click.argument("files", metavar="FILE...", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--digests", is_flag=True, help="Add SHA-256 of every section, and the Authenticode digest.")
@click.option(
    "--extract",
    metavar="SECTION[:KEY][@PROFILE]",
    help="Write one section's content; of .efifw, the firmware. KEY is a fwid, a compatible string or a number.",
)
@click.option("-o", "--output", type=output_type, help="Where --extract writes to; '-' is standard output.")
@cache_option
@json_lines_option(lambda: LayoutView)
def inspect(
    files: tuple[Path, ...], *, digests: bool, extract: str | None, output: Path | None, cache: bool, as_json: bool
) -> int:
    """Show the sections, firmware and hardware ids of each FILE, a UKI or addon made by anyone."""
    if cache and not digests:
        raise click.UsageError("--cache needs --digests: nothing else is kept.")
    if extract is not None:
        if len(files) > 1:
            raise click.UsageError("--extract takes one FILE.")
        layout = inspect_image(files[0])
        if output is None:
            raise click.UsageError("--extract needs --output.")
        _write(find_content(layout, extract), output)
        return 0

    def show(file: Path, printer: DocumentPrinter) -> None:
        layout = inspect_image(file)
        view = describe(layout)
        if digests:
            with keeping_digests(cache), progress_bar(layout.file_size) as progress:
                view = describe(layout, digest_image(layout, DESCRIBED_DIGESTS, progress))

        if as_json:
            printer.print(view)
        else:
            from fuki_build.cli.render.tables import show_view  # noqa: PLC0415

            show_view(view)

    return each_image(files, show, as_json=as_json, modules=("fuki_build.cli.render.tables",))


def find_content(layout: Layout, spec: str) -> Blob:
    """The content that `SECTION[:KEY][@PROFILE]` names; `RecipeError` says what there is instead."""
    address = parse_address(spec)
    if address is None:
        raise click.UsageError(f"{spec!r} is not SECTION[:KEY][@PROFILE].")
    return content_of(find_section(layout, address))


def _write(content: Blob, output: Path) -> None:
    if str(output) == "-":
        for piece in read_pieces(content):
            sys.stdout.buffer.write(piece)
        return
    with OutputFile(output) as file:
        for piece in read_pieces(content):
            file.write(piece)
        file.commit()
