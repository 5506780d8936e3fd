"""Explained events, and the registers that they give."""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from msgspec import Struct

from fuki_build.measure.registers import BANKS, Digests, replay


class Who(StrEnum):
    """Who measures an event."""

    FIRMWARE = "firmware"
    STUB = "stub"
    KERNEL = "kernel"
    SYSTEM = "systemd"


class Event(Struct, frozen=True):
    """One measurement into one register: the TCG event type, what it is over, where that comes from, who measures it.

    `digests` are those of the banks that were asked for; where they cannot be told in advance they are empty, and
    `unknown` says why. An event that is not certain to come has a `condition`.
    """

    pcr: int
    type: str
    what: str
    source: str
    by: Who
    digests: Digests = {}
    unknown: str = ""


def register(events: Iterable[Event], pcr: int, bank: str) -> bytes | None:
    """The value of a register after these events; None where one of them cannot be told."""
    own = [event for event in events if event.pcr == pcr]
    if any(event.unknown for event in own):
        return None
    return replay(bank, (event.digests[bank] for event in own))


def known_banks(events: Sequence[Event]) -> tuple[str, ...]:
    """The banks that all known events have."""
    known = [set(event.digests) for event in events if not event.unknown]
    return tuple(bank for bank in BANKS if all(bank in found for found in known))


def in_hex(values: Digests) -> Mapping[str, str]:
    return {bank: value.hex() for bank, value in values.items()}
