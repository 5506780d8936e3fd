"""PCR 1 of a virtual machine: what OVMF measures of its settings, of which files decide the separator alone.

Sources: edk2's AcpiPlatformDxe, Tcg2Dxe.c and SmbiosMeasurementDxe; logs of guests. Debian's build of 2022.11 measures
boot options only, that of 2025.02 ACPI tables too, and that of 2026.08 SMBIOS tables besides.
"""

from collections.abc import Iterator, Sequence

from fuki_build.measure.events import CONSTANT, Event, Measurer
from fuki_build.measure.registers import digests

PCR = 1
TABLES = "the hypervisor makes ACPI and SMBIOS tables for each shape of machine"
OPTIONS = "the firmware makes boot options of the devices that it finds"
_HYPERVISOR, _MACHINE = "the hypervisor", "the machine"


def settings_events(banks: Sequence[str]) -> Iterator[Event]:
    """The events in their order; there may be several of those that are not told, or none."""
    yield _event("EV_PLATFORM_CONFIG_FLAGS", "ACPI tables", _HYPERVISOR, TABLES)
    yield _event("EV_EFI_HANDOFF_TABLES", "SMBIOS tables", _HYPERVISOR, TABLES)
    yield _event("EV_EFI_VARIABLE_BOOT", "boot options and their order", _MACHINE, OPTIONS)
    yield Event(
        pcr=PCR,
        type="EV_SEPARATOR",
        what="the firmware's part ends",
        source=CONSTANT,
        by=Measurer.FIRMWARE,
        digests=digests(bytes(4), banks),
    )


def unknown() -> str:
    """Why the register's value cannot be told."""
    return f"{TABLES}; {OPTIONS}"


def _event(kind: str, description: str, source: str, reason: str) -> Event:
    return Event(pcr=PCR, type=kind, what=description, source=source, by=Measurer.FIRMWARE, unknown=reason)
