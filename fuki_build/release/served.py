"""The machines that the old image serves, and what each of them selects from both images."""

from collections.abc import Iterator, Sequence
from uuid import UUID

from msgspec import Struct

from fuki_build.errors import FukiError
from fuki_build.hardware.chid import STUB_ORDER
from fuki_build.hardware.machine import Machine
from fuki_build.image.firmware import searched
from fuki_build.image.profiles import successors
from fuki_build.image.selection import Selection, Selector
from fuki_build.release.released import ReleasedImage

NOTHING = "machines that select nothing"


class ServedMachine(Struct, frozen=True):
    """What a machine selects when a profile of the old image boots, and the one of the new image that succeeds it.

    `machine` is its name. Of one that is known by a hardware id of the old image only, it is that of the record.
    """

    machine: str
    before: Selection
    after: Selection


_MAX_SELECTIONS = 65_536
"""Most selections that are simulated, of all machines and ids in all profiles; they take some seconds."""
_ANY_TYPE = STUB_ORDER[0]
"""Of an id that stands in a table: what it was hashed from cannot be told, and does not matter where it is alone."""


def served_machines(old: ReleasedImage, new: ReleasedImage, machines: Sequence[Machine]) -> tuple[ServedMachine, ...]:
    """All that the old image may boot on: `machines`, the hardware ids of the old image, and any that select nothing.

    A hardware id through which one of `machines` selects from the old image stands for that machine, which has others
    too: only the machine is looked at then. Raises `FukiError` where there are too many of all that.
    """
    served: list[ServedMachine] = []
    following = successors(old.layout, new.layout)
    count = sum(len(machines) + _id_count(old, before) for before in following)
    if count > _MAX_SELECTIONS:
        text = f"it lists {count} hardware ids, counted in each profile (limit {_MAX_SELECTIONS})"
        raise FukiError(text, where=old.layout.where, hint="an image with fewer ids or profiles can be compared")

    pair = Selector(old.slices, old.layout.model), Selector(new.slices, new.layout.model)
    for profiles in following.items():
        named = [_served(pair, machine, profiles) for machine in dict.fromkeys(machines)]
        hit = {selected.chid for one in named for selected in (one.before.firmware, one.before.devicetree) if selected}

        served += named
        served += [
            _served(pair, Machine(name=name, chids=((_ANY_TYPE, chid),)), profiles)
            for name, chid in _listed(old, profiles[0])
            if chid not in hit
        ]
        served.append(_served(pair, Machine(name=NOTHING), profiles))
    return tuple(served)


def _served(
    pair: tuple[Selector, Selector], machine: Machine, profiles: tuple[int | None, int | None]
) -> ServedMachine:
    before, after = (selector.select(machine, profile) for selector, profile in zip(pair, profiles, strict=True))
    return ServedMachine(machine.name, before, after)


def _id_count(image: ReleasedImage, profile: int | None) -> int:
    return sum(len(part.table.first) for part in searched(image.slices, profile) if part.table)


def _listed(image: ReleasedImage, profile: int | None) -> Iterator[tuple[str, UUID]]:
    """Each id of the tables that the stub searches for a profile, once, with the name of its first record."""
    names: dict[UUID, str] = {}
    for part in searched(image.slices, profile):
        for record in part.table.records if part.table else ():
            names.setdefault(record.chid, record.name or record.key)
    for chid, name in names.items():
        yield name, chid
