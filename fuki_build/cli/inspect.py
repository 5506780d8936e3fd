"""`fuki inspect`: what any UKI or addon is made of."""

import re
import sys
from pathlib import Path

import click

from fuki_build.cli.fleet import each_image, json_lines_option
from fuki_build.cli.options import output_type
from fuki_build.cli.render.json import DocumentPrinter
from fuki_build.cli.render.progress import progress_bar
from fuki_build.errors import RecipeError
from fuki_build.image.assemble import assemble, read_pieces
from fuki_build.image.blob import Blob
from fuki_build.image.describe import LayoutView, describe
from fuki_build.image.firmware import read_compatible, read_firmware
from fuki_build.image.inspect import inspect as inspect_image
from fuki_build.image.layout import Layout
from fuki_build.image.output_file import OutputFile
from fuki_build.image.profiles import find_profile
from fuki_build.image.section import Section

_SPEC = re.compile(r"(?P<name>\.?[A-Za-z0-9_.-]+)(?::(?P<key>[^@]+))?(?:@(?P<profile>.+))?")


@click.command()
@click.argument("files", metavar="FILE...", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--digests", is_flag=True, help="Add SHA-256 of every section, and the Authenticode digest.")
@click.option(
    "--extract",
    metavar="SECTION[:KEY][@PROFILE]",
    help="Write one section's content; of .efifw, the firmware. KEY is a fwid, a compatible string or a number.",
)
@click.option("-o", "--output", type=output_type, help="Where --extract writes to; '-' is standard output.")
@json_lines_option(lambda: LayoutView)
def inspect(files: tuple[Path, ...], digests: bool, extract: str | None, output: Path | None, as_json: bool) -> int:
    """Show the sections, firmware and hardware ids of each FILE, a UKI or addon made by anyone."""
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
            with progress_bar(layout.file_size) as progress:
                view = describe(layout, assemble(layout, progress=progress))

        if as_json:
            printer.print(view)
        else:
            from fuki_build.cli.render.tables import show_view  # noqa: PLC0415

            show_view(view)

    return each_image(files, show, as_json=as_json)


def find_content(layout: Layout, spec: str) -> Blob:
    """The content that `SECTION[:KEY][@PROFILE]` names; `RecipeError` says what there is instead."""
    parts = _SPEC.fullmatch(spec)
    if not parts:
        raise click.UsageError(f"{spec!r} is not SECTION[:KEY][@PROFILE].")

    name = "." + parts["name"].lstrip(".")
    sections = layout.find(name, _profile_number(layout, parts["profile"]))
    chosen = _with_key(sections, parts["key"]) if parts["key"] else sections

    if len(chosen) != 1:
        names = ", ".join(dict.fromkeys(_spec_of(section) for section in layout.plain_sections))
        problem = "is not there" if not chosen else f"is there {len(chosen)} times; name one, or count it: {name}:1"
        raise RecipeError(f"{spec} {problem}", where=layout.where, hint=f"there are: {names}")

    firmware = read_firmware(chosen[0]) if name == ".efifw" else None
    return firmware.payload if firmware and firmware.header else chosen[0].content


def _with_key(sections: list[Section], key: str) -> list[Section]:
    """The sections of that fwid or compatible string; or the one of that number, counted from 1."""
    named = [section for section in sections if _key_of(section) == key]
    if not named and key.isdecimal() and 0 < int(key) <= len(sections):
        return [sections[int(key) - 1]]
    return named


def _key_of(section: Section) -> str | None:
    if section.name == ".efifw":
        return read_firmware(section).fwid
    return read_compatible(section) if section.name == ".dtbauto" else None


def _profile_number(layout: Layout, text: str | None) -> int | None:
    """A profile's number, given as such or by its id."""
    if text is None:
        return None
    return find_profile(layout, text)


def _spec_of(section: Section) -> str:
    key = _key_of(section)
    at = "" if section.profile is None else f"@{section.profile}"
    return f"{section.name}{f':{key}' if key else ''}{at}"


def _write(content: Blob, output: Path) -> None:
    if str(output) == "-":
        for piece in read_pieces(content):
            sys.stdout.buffer.write(piece)
        return
    with OutputFile(output) as file:
        for piece in read_pieces(content):
            file.write(piece)
        file.commit()
