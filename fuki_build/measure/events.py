"""Explained events, and the register values that result from them."""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from msgspec import Struct

from fuki_build.measure.registers import Digests, replay

CONSTANT = "constant"
"""The source of events that firmware measures identically on every machine."""


class Measurer(StrEnum):
    """The program that measures an event."""

    FIRMWARE = "firmware"
    STUB = "stub"
    KERNEL = "kernel"
    SYSTEM = "systemd"
    SHIM = "shim"
    GRUB = "GRUB"
    BOOT_MENU = "systemd-boot"
    LOADER = "boot loader"
    """Any of those above, or another program that starts before the kernel."""
    DYNAMIC_ROOT = "dynamic root of trust"
    RUNNING = "running system"
    UNKNOWN = "unknown"


class Event(Struct, frozen=True, kw_only=True):
    """One measurement into one register: the TCG event type, a description of the data, its source, and the measurer.

    `digests` has the banks that were requested; where they cannot be predicted it is empty, and `unknown` says why.
    """

    pcr: int
    type: str
    what: str
    source: str
    by: Measurer
    digests: Digests = {}
    unknown: str = ""


def register(events: Iterable[Event], pcr: int, bank: str) -> bytes | None:
    """The value of a register after these events; None where one of them cannot be predicted."""
    extended = [event for event in events if event.pcr == pcr]
    if any(event.unknown for event in extended):
        return None
    return replay(bank, (event.digests[bank] for event in extended))


def in_hex(values: Digests) -> Mapping[str, str]:
    return {bank: value.hex() for bank, value in values.items()}
