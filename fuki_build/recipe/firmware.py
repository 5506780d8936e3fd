"""`[[fuki.firmware]]` tables as `.efifw` sections, and the devices that select them."""

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from fuki_build.errors import FormatError, FukiError, RecipeError, located, raised_as
from fuki_build.formats.uki import efifw
from fuki_build.formats.uki.hwids import Device
from fuki_build.hooks.host import PluginHost, loaded_machines
from fuki_build.hooks.sources import FirmwareFile, SourceContext
from fuki_build.image.addresses import split_reference
from fuki_build.image.blob import Blob
from fuki_build.image.guard import note_named, note_read
from fuki_build.image.reading import read_pieces
from fuki_build.image.section import Section
from fuki_build.recipe.convert import keys
from fuki_build.recipe.enrollment import enroll_firmware
from fuki_build.recipe.firmware_model import FirmwareTable, IgvmTable
from fuki_build.recipe.hwids import listed_devices
from fuki_build.recipe.igvm import wrap_firmware
from fuki_build.recipe.inputs import Inputs
from fuki_build.recipe.machines import Declared, choose_devices, declared_machines
from fuki_build.recipe.plugin_tables import read_plugin_table


class FirmwareSet(Struct):
    """The firmware of one slice: sections in the recipe's order, what selects each, and where each came from."""

    sections: list[Section] = []
    devices: list[Device] = []
    declared: list[Declared] = []
    origins: dict[str, Mapping[str, str]] = {}


def resolve_firmware(
    tables: tuple[dict[str, Any], ...], profile: int | None, inputs: Inputs, host: PluginHost, where: str
) -> FirmwareSet:
    """Fetch every table's firmware from its source. Errors name the table."""
    resolved = FirmwareSet()
    for index, data in enumerate(tables):
        place = f"{where}[{index}]"
        with located(place):
            _resolve_one(data, profile, inputs, host, place, resolved)
    resolved.devices += choose_devices(resolved.declared, loaded_machines(host))
    return resolved


def _resolve_one(
    data: dict[str, Any],
    profile: int | None,
    inputs: Inputs,
    host: PluginHost,
    where: str,
    resolved: FirmwareSet,
) -> None:
    table, file = _fetch(data, inputs, host, where)
    fwid = table.id or file.id

    if not fwid:
        raise RecipeError("this firmware has no id", where=where, hint='add id = "…" there')

    blob = inputs.blob(file.path, where)
    if not blob.size:
        raise RecipeError(f"the firmware {file.path} is empty", where=where)

    # What a source keeps in a cache or workspace of its own has no name that means anything elsewhere.
    local = file.path.is_relative_to(inputs.recipe.directory)
    name = inputs.name(file.path) if local else f"{table.source}:{fwid}/{file.path.name}"

    inputs.dependencies.extend(file.inputs)
    for path in file.inputs:
        note_read(path)
    origin = {"source": table.source, **file.origin}

    if table.enroll is None:
        inputs.note(file.path, where, blob, name=name)
    else:
        source, reference = file.path, split_reference(file.path)
        if reference is not None:
            source = _written_out(blob, inputs)
            inputs.dependencies.append(reference[0])
        path, more = enroll_firmware(table.enroll, source, name, inputs, host, where)
        blob = Blob.of_file(path)
        name = f"{name}, with keys enrolled"
        origin |= more

    if table.igvm is not None:
        # Behind enrolling: the keys are part of what is measured.
        blob = _wrap(table.igvm, blob, inputs, where)
        name = f"{name}, as an IGVM file"
        origin |= {"igvm": ", ".join(table.igvm.platforms)}

    with raised_as(RecipeError, f"{where}.id", of=FormatError):
        header = Blob.of_bytes(efifw.encode_header(fwid, blob.size))
    resolved.sections.append(Section(name=".efifw", content=header + blob, source=name, profile=profile))

    resolved.devices += listed_devices(table, fwid, inputs, where)
    resolved.declared += declared_machines(table, fwid, profile, inputs, host, where)
    resolved.origins[fwid] = origin


def _written_out(blob: Blob, inputs: Inputs) -> Path:
    """A section's content as a file, for programs that want one."""
    path = Path(tempfile.mkdtemp(dir=inputs.workspace)) / "firmware"
    with path.open("wb") as file:
        for piece in read_pieces(blob):
            file.write(piece)
    return path


def _wrap(table: IgvmTable, firmware: Blob, inputs: Inputs, where: str) -> Blob:
    def read(text: str, place: str) -> Blob:
        return Blob.of_bytes(inputs.read(inputs.path(text, place), place))

    def place(key: str) -> str:
        return f"{where}.igvm.{key}".removesuffix(".")

    return wrap_firmware(table, firmware, inputs.file, read, place)


def _fetch(data: dict[str, Any], inputs: Inputs, host: PluginHost, where: str) -> tuple[FirmwareTable, FirmwareFile]:
    data = _with_source(data, inputs, where)
    source = read_plugin_table(data, "source", FirmwareTable, host.firmware_source, where)
    note_named(source.options, inputs.recipe.directory)
    context = SourceContext(inputs.recipe.directory, inputs.workspace, inputs.commands)
    # Cells of a matrix that say the same get the same: no package is fetched and no program run for each.
    key = (source.table.source, msgspec.json.encode(source.options, enc_hook=str, order="deterministic"))
    if key not in inputs.fetched:
        with _option_at_fault(source.options, where), source.contribution.running():
            inputs.fetched[key] = source.contribution.thing().fetch(source.options, context)
    return source.table, inputs.fetched[key]


@contextmanager
def _option_at_fault(options: Any, where: str) -> Iterator[None]:  # noqa: ANN401 - a source's own
    """Put the table's place before the name of an option, which is all that a source knows of it."""
    try:
        yield
    except FukiError as error:
        if error.where is not None and re.split(r"[.\[]", error.where)[0] in keys(type(options)):
            error.where = f"{where}.{error.where}"
        raise


def _with_source(data: dict[str, Any], inputs: Inputs, where: str) -> dict[str, Any]:
    """The table with its source, which by default is what its path names: a directory, or a file."""
    path = data.get("path")
    if "source" in data or not isinstance(path, str):
        return data
    return {**data, "source": "directory"} if inputs.path(path, f"{where}.path").is_dir() else data
