"""`fuki hwids`: hardware id tables of images, decoded, compared, and exported for other tools."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from fuki_build.cli.options import json_option
from fuki_build.cli.render.plain import say, tell
from fuki_build.errors import FormatError, FukiError, MismatchError, located
from fuki_build.formats.documents import Document, View, encode_json
from fuki_build.formats.uki import hwids as tables
from fuki_build.formats.uki.hwids import Device, DeviceType
from fuki_build.image.blob import Blob
from fuki_build.image.inspect import inspect
from fuki_build.image.output_files import OutputFiles

_JSON_KEY = {DeviceType.DEVICETREE: "compatible", DeviceType.UEFI_FW: "fwid"}

image_argument = click.argument("file", type=click.Path(path_type=Path))
profile_option = click.option("--profile", type=int, help="The table of this profile; by default the base's.")


class TableDeviceView(View, frozen=True, kw_only=True):
    """What a table of hardware ids selects for `chids`: firmware by `fwid`, or a devicetree by `compatible`."""

    type: str
    name: str
    fwid: str | None
    compatible: str | None
    chids: tuple[str, ...]

    @classmethod
    def of(cls, device: Device) -> "TableDeviceView":
        return cls(
            type=device.type.json_name,
            name=device.name,
            fwid=device.key if device.type is DeviceType.UEFI_FW else None,
            compatible=device.key if device.type is DeviceType.DEVICETREE else None,
            chids=tuple(map(str, sorted(device.chids))),
        )


class DevicesDocument(Document, frozen=True):
    """What `fuki hwids decode --json` prints."""

    devices: tuple[TableDeviceView, ...]


@click.group()
def hwids() -> None:
    """Hardware id tables: .hwids sections of images, or such a section on its own."""


@hwids.command()
@image_argument
@profile_option
@json_option(lambda: DevicesDocument)
def decode(file: Path, profile: int | None, as_json: bool) -> None:
    """Show the table of FILE in its order."""
    devices = read_devices(file, profile)
    if as_json:
        from fuki_build.cli.render.json import print_document  # noqa: PLC0415

        print_document(DevicesDocument(tuple(map(TableDeviceView.of, devices))))
        return
    from fuki_build.cli.render.table import StandardOutput, TextTable  # noqa: PLC0415

    if not devices:
        click.echo("the table has no hardware ids")
        return
    table = TextTable("Type", "Name", "Selects", "Hardware id")
    for device in devices:
        for chid in sorted(device.chids):
            table.add_row(device.type.json_name, device.name, device.key, str(chid))
    StandardOutput().table(table)


@hwids.command()
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@profile_option
def diff(old: Path, new: Path, profile: int | None) -> None:
    """Show what NEW selects otherwise than OLD. Exits with 3 when there is a difference."""
    before, after = (_rows(read_devices(file, profile)) for file in (old, new))
    changes = [("-", row) for row in before if row not in after] + [("+", row) for row in after if row not in before]
    for sign, row in sorted(changes, key=lambda change: (change[1], change[0] == "+")):
        say(f"{sign} {'  '.join(row)}")
    if changes:
        raise MismatchError(f"the tables differ in {len(changes)} rows", where=str(new))


@hwids.command()
@image_argument
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@profile_option
def export(file: Path, directory: Path, profile: int | None) -> None:
    """Write the table of FILE as systemd's JSON, one machine a file, into DIRECTORY."""
    names: set[str] = set()
    devices = read_devices(file, profile)
    if not devices:
        raise FukiError("the table has no hardware ids to export", where=str(file))

    with OutputFiles() as files:
        for device in devices:
            output = files.open(directory / f"{_file_name(device, names)}.json")
            output.write(encode_json(to_json(device)))
        files.commit()
    tell(f"wrote {len(names)} files into {directory}")


def read_devices(file: Path, profile: int | None) -> Sequence[Device]:
    """The devices of an image's table, or of a file that is such a table."""
    with located(str(file), FormatError):
        return tables.group(tables.decode(_read_table(file, profile)))


def _read_table(file: Path, profile: int | None) -> bytes:
    content = Blob.of_file(file)
    if content.read_at(0, 2) == b"MZ":
        sections = inspect(file).find(".hwids", profile)
        if not sections:
            raise FormatError("there is no .hwids" + ("" if profile is None else f" in profile {profile}"))
        content = sections[0].content
    return content.read_small(tables.MAX_SIZE, "the table")


def to_json(device: Device) -> dict[str, Any]:
    """Systemd's JSON form of a device."""
    return {
        "type": device.type.json_name,
        "name": device.name,
        _JSON_KEY[device.type]: device.key,
        "hwids": [str(chid) for chid in sorted(device.chids)],
    }


def _rows(devices: Sequence[Device]) -> list[tuple[str, ...]]:
    return [(d.type.json_name, d.name, d.key, str(chid)) for d in devices for chid in sorted(d.chids)]


def _file_name(device: Device, taken: set[str]) -> str:
    """A name that no other device of the table has: its own, made fit for a file."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", device.name or device.key).strip("-.") or "machine"
    name = next(n for n in (stem, *(f"{stem}-{i}" for i in range(2, 100_000))) if n not in taken)
    taken.add(name)
    return name
