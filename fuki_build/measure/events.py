"""Explained events, and the registers that they give."""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from msgspec import Struct

from fuki_build.measure.registers import Digests, replay

CONSTANT = "constant"
"""The source of what firmware measures the same on every machine."""


class Measurer(StrEnum):
    """Who measures an event."""

    FIRMWARE = "firmware"
    STUB = "stub"
    KERNEL = "kernel"
    SYSTEM = "systemd"
    SHIM = "shim"
    GRUB = "GRUB"
    BOOT_MENU = "systemd-boot"
    LOADER = "boot loader"
    """One of those above, or another that starts before the kernel."""
    DYNAMIC_ROOT = "dynamic root of trust"
    RUNNING = "running system"
    UNKNOWN = "unknown"


class Event(Struct, frozen=True):
    """One measurement into one register: the TCG event type, what it is over, where that comes from, who measures it.

    `digests` are those of the banks that were asked for; where they cannot be told in advance they are empty, and
    `unknown` says why.
    """

    pcr: int
    type: str
    what: str
    source: str
    by: Measurer
    digests: Digests = {}
    unknown: str = ""


def register(events: Iterable[Event], pcr: int, bank: str) -> bytes | None:
    """The value of a register after these events; None where one of them cannot be told."""
    own = [event for event in events if event.pcr == pcr]
    if any(event.unknown for event in own):
        return None
    return replay(bank, (event.digests[bank] for event in own))


def in_hex(values: Digests) -> Mapping[str, str]:
    return {bank: value.hex() for bank, value in values.items()}
