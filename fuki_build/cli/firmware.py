"""`fuki firmware`: what firmware images are, and IGVM files of them."""

from pathlib import Path

import click

from fuki_build.cli.options import json_option, output_type
from fuki_build.cli.standard_output import file_for, refuse_both, tell_written
from fuki_build.errors import RecipeError, raised_as
from fuki_build.image.blob import Blob
from fuki_build.image.firmware_view import FirmwareDocument, FirmwareFileView, view_firmware
from fuki_build.image.inspect import inspect
from fuki_build.launch.boots import LaunchFirmware, subjects
from fuki_build.recipe.launch import MAX_FIRMWARE


@click.group()
def firmware() -> None:
    """Firmware images: OVMF, edk2, IGVM."""


@firmware.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--firmware", "fwid", metavar="FWID", help="Of an image, only this firmware.")
@json_option(lambda: FirmwareDocument)
def show(file: Path, fwid: str | None, as_json: bool) -> None:
    """Show what the firmware FILE is made of: tables, metadata of SEV, TDX and IGVM, volumes; and what it lacks.

    FILE is a firmware image, or a UKI, whose firmware is shown.
    """
    views = tuple(_view(subject) for subject in read_subjects(file, fwid))
    if as_json:
        from fuki_build.cli.render.json import print_document  # noqa: PLC0415

        print_document(FirmwareDocument(views))
        return
    from fuki_build.cli.render.launch import show_firmware  # noqa: PLC0415

    for view in views:
        show_firmware(view)


def _number(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """For an option that takes a number, also as 0x…."""
    try:
        return None if value is None else int(value, 0)
    except ValueError:
        raise click.BadParameter(f"{value!r} is no number.", context, parameter) from None


@firmware.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=output_type, required=True, help="Where to write the IGVM file; '-' is standard output."
)
@click.option(
    "--platform", "platforms", multiple=True, type=click.Choice(["native", "sev-snp"]),
    help="What it can be started on (repeatable); by default both.",
)  # fmt: skip
@click.option("--policy", metavar="N", callback=_number, help="Guest policy of SEV-SNP; by default 0x30000.")
@click.option(
    "--cpu-signature", metavar="N", callback=_number,
    help="RDX at the start of SEV-SNP guests, which is measured; by default 0, for one digest on all CPUs.",
)  # fmt: skip
@click.option("--snp-parameters", is_flag=True, help="Let SEV-SNP guests, too, get their memory map through the file.")
@click.option("--id-block", metavar="NAME", help="Put NAME.id-block and NAME.id-auth of 'fuki id-block' into it.")
@click.option(
    "--data", metavar="KIND=FILE", multiple=True,
    help="What the firmware finds in memory (repeatable): kernel (a UKI), shim, PK, KEK, db, dbx.",
)  # fmt: skip
@click.option("--data-address", metavar="N", callback=_number, help="Where that starts; by default at 64 MiB.")
@json_option(lambda: FirmwareDocument)
def wrap(  # noqa: PLR0917 - click passes them by name
    file: Path,
    output: Path,
    platforms: tuple[str, ...],
    policy: int | None,
    cpu_signature: int | None,
    snp_parameters: bool,
    id_block: str | None,
    data: tuple[str, ...],
    data_address: int | None,
    as_json: bool,
) -> None:
    """Make an IGVM file of the OVMF image FILE, for hypervisors that start guests from such files.

    SEV-SNP guests have the launch digest that they have without the file, unless data are added. What the firmware
    lacks is told on standard error.
    """
    from fuki_build.checks.igvm import findings_of  # noqa: PLC0415 - what only this verb needs
    from fuki_build.checks.run import refuse_errors  # noqa: PLC0415
    from fuki_build.cli.render.findings import show_findings  # noqa: PLC0415
    from fuki_build.image.output_file import OutputFile  # noqa: PLC0415
    from fuki_build.image.reading import read_pieces  # noqa: PLC0415
    from fuki_build.recipe.convert import convert  # noqa: PLC0415
    from fuki_build.recipe.firmware_model import IgvmTable  # noqa: PLC0415
    from fuki_build.recipe.igvm import wrap_firmware  # noqa: PLC0415

    refuse_both(output, as_json=as_json)
    given = {
        "platforms": list(platforms) or None,
        "policy": policy,
        "cpu-signature": cpu_signature,
        "snp-parameters": snp_parameters,
        "id-block": id_block,
        "data": [_item(text) for text in data],
        "data-address": data_address,
    }
    try:
        table = convert({key: value for key, value in given.items() if value is not None}, IgvmTable, "")
    except RecipeError as error:
        error.where = _option((error.where or "").removeprefix("."))
        raise

    def open_file(text: str, where: str) -> Blob:
        with raised_as(RecipeError, where):
            return Blob.of_file(Path(text))

    wrapped = wrap_firmware(
        table, Blob.of_file(file), open_file, open_file, lambda key: _option(key) if key else str(file)
    )
    findings = list(findings_of(wrapped))
    show_findings(findings)
    refuse_errors(findings)
    with file_for(output) as path, OutputFile(path) as target:
        for piece in read_pieces(wrapped):
            target.write(piece)
        target.commit()
    tell_written(output)
    if as_json:
        from fuki_build.cli.render.json import print_document  # noqa: PLC0415

        view = view_firmware(output.name, wrapped.read_small(MAX_FIRMWARE, str(output)))
        print_document(FirmwareDocument((view,)))


def _item(text: str) -> dict[str, str]:
    from fuki_build.recipe.firmware_model import DataName  # noqa: PLC0415 - what only wrap needs

    kind, equals, path = text.partition("=")
    if not equals or not path or kind not in list(DataName):
        raise click.UsageError(f"--data takes KIND=FILE with a kind of {', '.join(DataName)}, not {text!r}.")
    return {"kind": kind, "file": path}


def _option(key: str) -> str:
    """What a key of the recipe's table is called on the command line."""
    return f"--{key.partition('[')[0]}"


def read_subjects(file: Path, fwid: str | None = None) -> list[LaunchFirmware]:
    """The firmware of a UKI, or the one that a file is. Raises `RecipeError` for a UKI without such firmware."""
    content = Blob.of_file(file)
    if content.read_at(0, 2) != b"MZ":
        return [LaunchFirmware(file.name, None, content)]

    firmware = list(subjects(inspect(file)))
    chosen = [subject for subject in firmware if fwid in (None, subject.name)]
    if not chosen:
        hint = f"there are: {', '.join(subject.name for subject in firmware)}" if firmware else None
        raise RecipeError(f"the image has no firmware{f' {fwid!r}' if fwid else ''}", where=str(file), hint=hint)
    return chosen


def _view(subject: LaunchFirmware) -> FirmwareFileView:
    return view_firmware(subject.name, subject.content.read_small(MAX_FIRMWARE, f"the firmware {subject.name}"))
