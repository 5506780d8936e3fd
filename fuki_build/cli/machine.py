"""`fuki machine`: what a machine says of itself, and the hardware ids that follow."""

from pathlib import Path

import click

from fuki_build.cli.options import json_option, output_type
from fuki_build.cli.render.plain import tell
from fuki_build.errors import located
from fuki_build.hardware import capture
from fuki_build.hardware.hand_over import read_outcome
from fuki_build.hardware.hand_over_view import view_outcome
from fuki_build.hardware.machine import Machine, encode_file
from fuki_build.hardware.machine_view import MachineDocument, describe_machine
from fuki_build.image.blob import Blob
from fuki_build.image.output_file import OutputFile

_MAX_FILE = 16 * 1024 * 1024


@click.group()
def machine() -> None:
    """Machines: their SMBIOS strings and hardware ids."""


@machine.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--save", type=output_type, help="Write a machine file that recipes can use.")
@click.option("--name", help="Name of the machine in that file; by default the file's.")
@json_option(lambda: MachineDocument)
def show(file: Path | None, save: Path | None, name: str | None, as_json: bool) -> None:
    """Show this machine, or the one that FILE tells about.

    FILE is a machine file, an SMBIOS dump (dmidecode --dump-bin, /sys/firmware/dmi/tables/DMI), or the text of
    dmidecode, 'fwupdtool hwids' or 'systemd-analyze chid'.
    """
    shown = read_machine(file)
    if save:
        new_name = name or (save.stem if file is None else shown.name)
        with OutputFile(save) as output:
            output.write(encode_file(shown.renamed(new_name)))
            output.commit()
        tell(f"wrote {save}")

    outcome = read_outcome() if file is None else None
    document = describe_machine(shown, view_outcome(outcome) if outcome else None)
    if as_json:
        from fuki_build.cli.render.json import print_document  # noqa: PLC0415

        print_document(document)
    elif not save:
        from fuki_build.cli.render.machines import show_machine  # noqa: PLC0415

        show_machine(document)


def read_machine(file: Path | None) -> Machine:
    """The machine that a file tells about, or this one."""
    if file is None:
        return capture.this_machine()
    with located(str(file)):
        return capture.decode(Blob.of_file(file).read_small(_MAX_FILE, str(file)), file.stem)
