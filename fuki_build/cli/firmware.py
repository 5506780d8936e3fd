"""`fuki firmware`: what firmware images are."""

from pathlib import Path

import click
import msgspec

from fuki_build.cli.options import json_option
from fuki_build.errors import RecipeError
from fuki_build.image.blob import Blob
from fuki_build.image.firmware_view import FirmwareFileView, view_firmware
from fuki_build.image.inspect import inspect
from fuki_build.launch.boots import LaunchFirmware, subjects
from fuki_build.recipe.launch import MAX_FIRMWARE

VERSION = 1


@click.group()
def firmware() -> None:
    """Firmware images: OVMF, edk2, IGVM."""


@firmware.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--firmware", "fwid", metavar="FWID", help="Of an image, only this firmware.")
@json_option
def show(file: Path, fwid: str | None, as_json: bool) -> None:
    """Show what the firmware FILE is made of: tables, metadata of SEV, TDX and IGVM, volumes; and what it lacks.

    FILE is a firmware image, or a UKI, whose firmware is shown.
    """
    views = [_view(subject) for subject in read_subjects(file, fwid)]
    if as_json:
        from fuki_build.cli.render.json import print_json  # noqa: PLC0415

        print_json({"version": VERSION, "firmware": msgspec.to_builtins(views)})
        return
    from fuki_build.cli.render.launch import show_firmware  # noqa: PLC0415

    for view in views:
        show_firmware(view)


def read_subjects(file: Path, fwid: str | None = None) -> list[LaunchFirmware]:
    """The firmware of a UKI, or the one that a file is. Raises `RecipeError` for a UKI without such firmware."""
    content = Blob.of_file(file)
    if content.read_at(0, 2) != b"MZ":
        return [LaunchFirmware(file.name, None, content)]
    found = list(subjects(inspect(file)))
    chosen = [subject for subject in found if fwid in (None, subject.name)]
    if not chosen:
        hint = f"there are: {', '.join(subject.name for subject in found)}" if found else None
        raise RecipeError(f"the image has no firmware{f' {fwid!r}' if fwid else ''}", where=str(file), hint=hint)
    return chosen


def _view(subject: LaunchFirmware) -> FirmwareFileView:
    return view_firmware(subject.name, subject.content.read_small(MAX_FIRMWARE, f"the firmware {subject.name}"))
