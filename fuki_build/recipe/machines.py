"""Which machines a firmware is for, and the hardware ids under which it is listed for them."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from uuid import UUID

from msgspec import Struct

from fuki_build.errors import RecipeError, located, raised_as
from fuki_build.formats.uki.hwids import Device, DeviceType
from fuki_build.hardware.chid import FIELDS, STUB_ORDER, WIDE_TO_NARROW, Dialect, Identity, chid, identity, stub_chids
from fuki_build.hardware.machine import Machine, from_table
from fuki_build.hooks.host import PluginHost
from fuki_build.hooks.platforms import Platform
from fuki_build.image.blob import AnyPath, Blob
from fuki_build.recipe.firmware_model import FirmwareTable
from fuki_build.recipe.inputs import Inputs

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
    from fuki_build.hardware import capture  # noqa: PLC0415 - most machines are a platform's

    with raised_as(RecipeError, where, about=str(path)):
        return capture.decode(data, path.stem)


def find_machines(
    text: str, directory: AnyPath, host: PluginHost, where: str, read: list[Path] | None = None
) -> Sequence[Machine]:
    """The machines that `platform`, `platform:selector` or a file name; a file is added to `read`."""
    path = Path(directory) / text
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


class _Owners(Struct, frozen=True):
    """Whose hardware ids are whose, counted once for the firmware of a slice.

    `fwids` are the firmware that each id is declared for; `loaded` the machines of loaded platforms, by identity, and
    `sharing` how many of them have an id.
    """

    fwids: Mapping[UUID, frozenset[str]]
    loaded: frozenset[Identity]
    sharing: Mapping[UUID, int]

    def taken(self, fwid: str, identities: Iterable[Identity]) -> Callable[[UUID], bool]:
        """Whether an id is also that of machines which `fwid` is not for; `identities` are those that it is for."""
        own = Counter(hardware_id for key in identities if key in self.loaded for hardware_id in _ids_of(key))

        def is_taken(hardware_id: UUID) -> bool:
            names = self.fwids.get(hardware_id, frozenset())
            others = len(names) - (fwid in names)
            return others > 0 or self.sharing.get(hardware_id, 0) > own[hardware_id]

        return is_taken


def _owners(declared: Sequence[Declared], loaded: Sequence[Machine]) -> _Owners:
    fwids: dict[UUID, set[str]] = {}
    for item in declared:
        for hardware_id in stub_chids(item.machine).values():
            fwids.setdefault(hardware_id, set()).add(item.fwid)
    known, sharing = _sharing(tuple(loaded))
    return _Owners({hardware_id: frozenset(names) for hardware_id, names in fwids.items()}, known, sharing)


@lru_cache(maxsize=1)
def _sharing(machines: tuple[Machine, ...]) -> tuple[frozenset[Identity], Mapping[UUID, int]]:
    """The distinct machines, and how many of them have each id; all slices of a recipe ask for the same."""
    identities = frozenset(map(identity, machines))
    return identities, Counter(hardware_id for key in identities for hardware_id in _ids_of(key))


def _ids_of(key: Identity) -> set[UUID]:
    return {hardware_id for _, hardware_id in key}


def choose_devices(declared: Sequence[Declared], loaded: Sequence[Machine]) -> Iterator[Device]:
    """List each machine under the widest type that no machine of another firmware shares.

    `loaded` are all machines of the loaded platforms: those that a firmware is not for count as others too, unless
    nothing tells them from one that it is for. Where every type is shared, the narrowest is taken; the checks tell.
    An id that several machines of one group share is listed once, under the group's name.
    """
    by_fwid: dict[str, list[Declared]] = {}
    for item in declared:
        by_fwid.setdefault(item.fwid, []).append(item)
    if not by_fwid:
        return

    owners = _owners(declared, loaded)
    for fwid, items in by_fwid.items():
        taken = owners.taken(fwid, {identity(item.machine) for item in items})

        names: dict[UUID, list[Declared]] = {}
        for item in items:
            for hardware_id in _ids(item, taken):
                names.setdefault(hardware_id, []).append(item)

        for hardware_id, sharing in names.items():
            name = sharing[0].machine.name if len(sharing) == 1 else sharing[0].group
            yield Device(DeviceType.UEFI_FW, name, fwid, frozenset({hardware_id}))


def _ids(item: Declared, taken: Callable[[UUID], bool]) -> list[UUID]:
    """All ids of forced types; else one: of the first type whose id is not taken, or of that with the most strings."""
    own = stub_chids(item.machine)
    present = [kind for kind in item.types if kind in own]
    if not present:
        kinds = ", ".join(map(str, item.types))
        raise RecipeError(f"{item.machine.name} has no hardware id of the types {kinds}", where=item.where)
    if item.forced:
        return [own[kind] for kind in present]
    narrowest = max(present, key=lambda kind: len(FIELDS[kind]))
    return [own[next((kind for kind in present if not taken(own[kind])), narrowest)]]
