"""`fuki machine`: what a machine says of itself, and the hardware ids that follow."""

from pathlib import Path
from typing import Any

import click

from fuki_build.cli.hand_over import describe_outcome
from fuki_build.cli.options import json_option, output_type
from fuki_build.cli.render.plain import tell
from fuki_build.errors import located
from fuki_build.formats.hardware.smbios import readable
from fuki_build.hardware import capture
from fuki_build.hardware.chid import FIELDS, STUB_ORDER, Dialect, chid
from fuki_build.hardware.hand_over import read_outcome
from fuki_build.hardware.machine import STRINGS, Machine, encode_file
from fuki_build.image.blob import Blob
from fuki_build.image.output_file import OutputFile

VERSION = 1
_MAX_FILE = 16 * 1024 * 1024


@click.group()
def machine() -> None:
    """Machines: their SMBIOS strings and hardware ids."""


@machine.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--save", type=output_type, help="Write a machine file that recipes can use.")
@click.option("--name", help="Name of the machine in that file; by default the file's.")
@json_option
def show(file: Path | None, save: Path | None, name: str | None, as_json: bool) -> None:
    """Show this machine, or the one that FILE tells about.

    FILE is a machine file, an SMBIOS dump (dmidecode --dump-bin, /sys/firmware/dmi/tables/DMI), or the text of
    dmidecode, 'fwupdtool hwids' or 'systemd-analyze chid'.
    """
    found = read_machine(file)
    if save:
        chosen = name or (save.stem if file is None else found.name)
        with OutputFile(save) as output:
            output.write(encode_file(found.renamed(chosen)))
            output.commit()
        tell(f"wrote {save}")
    data = describe_machine(found)
    outcome = read_outcome() if file is None else None
    data["hand-over"] = describe_outcome(outcome) if outcome else None
    if as_json:
        from fuki_build.cli.render.json import print_json  # noqa: PLC0415

        print_json(data)
    elif not save:
        from fuki_build.cli.render.machines import show_machine  # noqa: PLC0415

        show_machine(data)


def read_machine(file: Path | None) -> Machine:
    """The machine that a file tells about, or this one."""
    if file is None:
        return capture.this_machine()
    with located(str(file)):
        return capture.decode(Blob.of_file(file).read_small(_MAX_FILE, str(file)), file.stem)


def describe_machine(found: Machine) -> dict[str, Any]:
    """Strings and ids of a machine as plain data; `tried` counts the types in the order of the stub, from 1."""
    return {
        "version": VERSION,
        "name": found.name,
        "strings": {field.replace("_", "-"): readable(text) for field in STRINGS if (text := getattr(found, field))},
        "chids": [
            {
                "type": kind,
                "fields": [field.replace("_", "-") for field in fields],
                "microsoft": _text(found, kind, Dialect.MICROSOFT),
                "stub": _text(found, kind, Dialect.STUB),
                "tried": STUB_ORDER.index(kind) + 1 if kind in STUB_ORDER else None,
            }
            for kind, fields in FIELDS.items()
        ],
    }


def _text(found: Machine, kind: int, dialect: Dialect) -> str | None:
    value = chid(found, kind, dialect)
    return None if value is None else str(value)
