"""systemd's JSON form of hardware ids, and bare ids, as devices of a `.hwids` table."""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import msgspec

from fuki_build.errors import FormatError, RecipeError, raised_as
from fuki_build.formats.documents import decode_json
from fuki_build.formats.uki import hwids
from fuki_build.formats.uki.hwids import Device, DeviceType
from fuki_build.recipe.firmware_model import FirmwareTable
from fuki_build.recipe.inputs import Inputs

_TABLE_STARTS = tuple(hwids.first_bytes(kind) for kind in DeviceType)


class HwidsFile(msgspec.Struct, frozen=True, kw_only=True):
    """One machine's file, as in /usr/lib/systemd/boot/hwids; further keys are passed over."""

    type: str
    name: str
    hwids: tuple[str, ...]
    compatible: str | None = None
    fwid: str | None = None


def read_devices(value: str | tuple[str, ...], inputs: Inputs, where: str) -> Iterator[Device]:
    """The devices of JSON files, or of all `*.json` below directories, in the order of their paths.

    A table as images have it, in a section's place or a file of its own, is taken, too.
    """
    for index, text in enumerate((value,) if isinstance(value, str) else value):
        place = where if isinstance(value, str) else f"{where}[{index}]"
        path = inputs.path(text, place)
        for file in _json_files(path, inputs, place):
            yield from _decode_any(inputs.read(file, place), f"{place} ({file})")


def _json_files(path: Path, inputs: Inputs, where: str) -> list[Path]:
    if not path.is_dir():
        return [path]
    inputs.dependencies.extend([path, *(p for p in path.rglob("*") if p.is_dir())])
    files = sorted(path.rglob("*.json"))
    if not files:
        raise RecipeError(f"{path} holds no *.json", where=where, hint="hardware ids come as one JSON file a machine")
    return files


def _decode_any(data: bytes, where: str) -> Iterator[Device]:
    """The device of a JSON file, or those of a table: its first bytes are never those of JSON."""
    if data[:4] in _TABLE_STARTS:
        with raised_as(RecipeError, where, of=FormatError):
            yield from hwids.group(hwids.decode(data))
    else:
        yield _decode(data, where)


def _decode(data: bytes, where: str) -> Device:
    with raised_as(RecipeError, where, of=FormatError, about="this is not systemd's hwids JSON"):
        file = decode_json(data, HwidsFile)
    kinds = {kind.json_name: kind for kind in DeviceType}

    if file.type not in kinds:
        raise RecipeError(f"unknown type {file.type!r}", where=where, hint=f"known types: {', '.join(kinds)}")
    kind = kinds[file.type]

    key_name, other = ("compatible", "fwid") if kind is DeviceType.DEVICETREE else ("fwid", "compatible")
    key = getattr(file, key_name)

    if not key or getattr(file, other) is not None:
        raise RecipeError(f"a file of type {file.type!r} has {key_name!r} and no {other!r}", where=where)
    return Device(kind, file.name, key, parse_chids(file.hwids, where))


def parse_chids(texts: tuple[str, ...], where: str) -> frozenset[UUID]:
    """UUIDs, at least one. Raises `RecipeError`."""
    if not texts:
        raise RecipeError("the list of hardware ids is empty", where=where, hint="no machine would ever match")
    ids = set()
    for index, text in enumerate(texts):
        try:
            chid = UUID(text)
        except ValueError:
            raise RecipeError(f"{text!r} is not a hardware id (UUID)", where=f"{where}[{index}]") from None

        if not chid.int:
            hint = "the stub takes it for the id that a machine without a display panel lacks"
            raise RecipeError("an id of zeros would match almost every machine", where=f"{where}[{index}]", hint=hint)
        ids.add(chid)
    return frozenset(ids)


def listed_devices(table: FirmwareTable, fwid: str, inputs: Inputs, where: str) -> Iterator[Device]:
    """The devices of a firmware whose ids the recipe gives: in systemd's JSON, or bare."""
    for device in read_devices(table.hwids, inputs, f"{where}.hwids"):
        if device.type is not DeviceType.UEFI_FW or device.key != fwid:
            raise RecipeError(
                f"the hardware ids are for {device.type.json_name} {device.key!r}, this firmware's id is {fwid!r}",
                where=f"{where}.hwids",
            )
        yield device
    if table.chids:
        yield Device(DeviceType.UEFI_FW, table.name or fwid, fwid, parse_chids(table.chids, f"{where}.chids"))
