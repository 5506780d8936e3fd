"""Which machines a firmware is for, and the hardware ids under which it is listed for them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from uuid import UUID

from msgspec import Struct

from fuki_build.errors import RecipeError, located, raised_as
from fuki_build.formats.uki.hwids import Device, DeviceType
from fuki_build.hardware import capture
from fuki_build.hardware.chid import FIELDS, STUB_ORDER, WIDE_TO_NARROW, Dialect, chid, identity, stub_chids
from fuki_build.hardware.machine import Machine, from_table
from fuki_build.hooks.host import PluginHost
from fuki_build.hooks.records import Platform
from fuki_build.image.blob import Blob
from fuki_build.recipe.inputs import Inputs
from fuki_build.recipe.model import FirmwareTable

_UNSET = (
    "",
    "default string",
    "none",
    "not applicable",
    "not specified",
    "system product name",
    "to be filled by o.e.m.",
)
"""What boards say whose maker did not fill a string in, in small letters."""
_MAX_MACHINE_FILE = 16 * 1024 * 1024


class Declared(Struct, frozen=True, kw_only=True):
    """A machine that a recipe wants to select a firmware, and the CHID types to list it under, the best first.

    `forced` types are all used; of others, the first that tells the machine from those of other firmware.
    """

    machine: Machine
    group: str
    fwid: str
    profile: int | None
    types: tuple[int, ...]
    forced: bool
    where: str


def declared_machines(
    table: FirmwareTable, fwid: str, profile: int | None, inputs: Inputs, host: PluginHost, where: str
) -> Iterator[Declared]:
    """The machines of a firmware's `platforms`, `machines` and `match`."""
    forced = tuple(table.chid_types)
    for index, kind in enumerate(forced):
        if kind not in STUB_ORDER:
            hint = f"it tries {', '.join(map(str, sorted(STUB_ORDER)))}"
            raise RecipeError(f"the stub never tries CHID type {kind}", where=f"{where}.chid-types[{index}]", hint=hint)

    for index, text in enumerate(table.platforms):
        place = f"{where}.platforms[{index}]"
        platform = _platform(text, host, place)
        types = forced or tuple(platform.chid_types)
        for machine in platform_machines(text, host, place):
            yield Declared(
                machine=machine,
                group=platform.title,
                fwid=fwid,
                profile=profile,
                types=types,
                forced=bool(forced),
                where=place,
            )

    for index, text in enumerate(table.machines):
        place = f"{where}.machines[{index}]"
        machine = read_machine(inputs.path(text, place), inputs.read(inputs.path(text, place), place), place)
        yield Declared(
            machine=machine,
            group=machine.name,
            fwid=fwid,
            profile=profile,
            types=forced or _telling_types(machine),
            forced=bool(forced),
            where=place,
        )

    if table.match:
        machine, types = _match(table.match, table.name or fwid, f"{where}.match")
        yield Declared(
            machine=machine,
            group=machine.name,
            fwid=fwid,
            profile=profile,
            types=forced or types,
            forced=bool(forced),
            where=f"{where}.match",
        )


def _telling_types(machine: Machine) -> tuple[int, ...]:
    """The types made only of strings that tell something: an empty or unset one is shared by unrelated machines."""
    telling = tuple(
        kind
        for kind in WIDE_TO_NARROW
        if all(str(getattr(machine, field)).strip().lower() not in _UNSET for field in FIELDS[kind])
    )
    return telling or WIDE_TO_NARROW


def read_machine(path: Path, data: bytes, where: str) -> Machine:
    """A machine from a file of any form that `hardware.capture` knows."""
    with raised_as(RecipeError, where, about=str(path)):
        return capture.decode(data, path.stem)


def find_machines(
    text: str, directory: Path, host: PluginHost, where: str, read: list[Path] | None = None
) -> Sequence[Machine]:
    """The machines that `platform`, `platform:selector` or a file name; a file is added to `read`."""
    path = directory / text
    if "/" in text or path.is_file():
        if read is not None:
            read.append(path)
        with raised_as(RecipeError, where):
            data = Blob.of_file(path).read_small(_MAX_MACHINE_FILE, str(path))
        return [read_machine(path, data, where)]
    return platform_machines(text, host, where)


def platform_machines(text: str, host: PluginHost, where: str) -> Sequence[Machine]:
    name, _, selector = text.partition(":")
    with located(where):
        platform = host.platform(name)
        with platform.running():
            return list(platform.thing.machines(selector or None))


def _platform(text: str, host: PluginHost, where: str) -> Platform:
    with located(where):
        return host.platform(text.partition(":")[0]).thing


def _match(strings: Mapping[str, str], name: str, where: str) -> tuple[Machine, tuple[int, ...]]:
    """A machine with only some known strings: only types made of just those can be computed."""
    with raised_as(RecipeError, where):
        machine = from_table(strings, name)

    given = {key.replace("-", "_") for key in strings}
    types = [kind for kind in WIDE_TO_NARROW if set(FIELDS[kind]) <= given]

    if not types:
        combinations = "; ".join(" + ".join(FIELDS[kind]).replace("_", "-") for kind in WIDE_TO_NARROW[:4])
        raise RecipeError("no hardware id is made of these strings alone", where=where, hint=f"give {combinations} …")
    # A string that was given is meant to count, so what leaves the most of them out comes last.
    types.sort(key=lambda kind: len(given - set(FIELDS[kind])))
    chids = tuple((kind, hardware_id) for kind in types if (hardware_id := chid(machine, kind, Dialect.STUB)))
    return Machine(name=machine.name, chids=chids), tuple(types)


def choose_devices(declared: Sequence[Declared], loaded: Sequence[Machine]) -> Iterator[Device]:
    """List each machine under the widest type that no machine of another firmware shares.

    `loaded` are all machines of the loaded platforms: those that a firmware is not for count as others too, unless
    nothing tells them from one that it is for. Where every type is shared, the narrowest is taken; the checks tell.
    An id that several machines of one group share is listed once, under the group's name.
    """
    for fwid in dict.fromkeys(item.fwid for item in declared):
        mine = [item for item in declared if item.fwid == fwid]
        identities = {identity(item.machine) for item in mine}
        others = [item.machine for item in declared if item.fwid != fwid]
        others += [machine for machine in loaded if identity(machine) not in identities]
        taken = {value for machine in others for value in stub_chids(machine).values()}
        names: dict[UUID, list[Declared]] = {}
        for item in mine:
            for value in _ids(item, taken):
                names.setdefault(value, []).append(item)
        for value, items in names.items():
            name = items[0].machine.name if len(items) == 1 else items[0].group
            yield Device(DeviceType.UEFI_FW, name, fwid, frozenset({value}))


def _ids(item: Declared, taken: set[UUID]) -> list[UUID]:
    """All ids of forced types; else one: of the first type whose id is not taken, or of that with the most strings."""
    own = stub_chids(item.machine)
    present = [kind for kind in item.types if kind in own]
    if not present:
        kinds = ", ".join(map(str, item.types))
        raise RecipeError(f"{item.machine.name} has no hardware id of the types {kinds}", where=item.where)
    if item.forced:
        return [own[kind] for kind in present]
    narrowest = max(present, key=lambda kind: len(FIELDS[kind]))
    return [own[next((kind for kind in present if own[kind] not in taken), narrowest)]]
