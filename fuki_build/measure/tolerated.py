"""Kinds of events that a policy over event logs may let be, each only in the register where firmware measures it.

Sources: TCG, "PC Client Platform Firmware Profile" 1.06, 3.3.4; the UAPI group's TPM PCR registry; logs of machines.
"""

from collections.abc import Mapping
from enum import StrEnum

from fuki_build.errors import FormatError
from fuki_build.formats.tcg import event_data
from fuki_build.formats.tcg.event_log import EventLog, LoggedEvent
from fuki_build.measure import pcr7
from fuki_build.measure.log_comparison import number_in_log


class EventKind(StrEnum):
    AUTHORITIES = "authorities"
    BOOT_VARIABLES = "boot-variables"
    CONFIGURATION = "configuration"
    DRIVERS = "drivers"
    GRUB = "grub"
    HOST = "host"
    INITRD = "initrd"
    MICROCODE = "microcode"
    PARTITIONS = "partitions"
    SECURE_BOOT_VARIABLES = "secure-boot-variables"
    SHIM_LISTS = "shim-lists"
    SMBIOS = "smbios"
    TABLES = "tables"


WORDS: Mapping[EventKind, str] = {
    EventKind.AUTHORITIES: "what vouches for programs that Secure Boot starts",
    EventKind.BOOT_VARIABLES: "boot options of the machine and their order",
    EventKind.CONFIGURATION: "what a hypervisor configures, such as its ACPI tables",
    EventKind.DRIVERS: "drivers of devices, such as option ROMs",
    EventKind.GRUB: "commands and files of GRUB",
    EventKind.HOST: "what the host says of itself",
    EventKind.INITRD: "the initrd, as the kernel got it",
    EventKind.MICROCODE: "microcode of the firmware",
    EventKind.PARTITIONS: "the partition table of the disk",
    EventKind.SECURE_BOOT_VARIABLES: "Secure Boot's variables",
    EventKind.SHIM_LISTS: "keys and levels of shim",
    EventKind.SMBIOS: "SMBIOS strings that the stub matches",
    EventKind.TABLES: "tables that firmware hands over, such as SMBIOS",
}

_PLACES: Mapping[tuple[int, str], EventKind] = {
    (0, "EV_NONHOST_INFO"): EventKind.HOST,
    (1, "EV_CPU_MICROCODE"): EventKind.MICROCODE,
    (1, "EV_EFI_HANDOFF_TABLES"): EventKind.TABLES,
    (1, "EV_EFI_HANDOFF_TABLES2"): EventKind.TABLES,
    (1, "EV_EFI_VARIABLE_BOOT"): EventKind.BOOT_VARIABLES,
    (1, "EV_EFI_VARIABLE_BOOT2"): EventKind.BOOT_VARIABLES,
    (1, "EV_PLATFORM_CONFIG_FLAGS"): EventKind.CONFIGURATION,
    (2, "EV_EFI_BOOT_SERVICES_DRIVER"): EventKind.DRIVERS,
    (2, "EV_EFI_RUNTIME_SERVICES_DRIVER"): EventKind.DRIVERS,
    (5, "EV_EFI_GPT_EVENT"): EventKind.PARTITIONS,
    (7, pcr7.AUTHORITY): EventKind.AUTHORITIES,
    (7, "EV_EFI_VARIABLE_DRIVER_CONFIG"): EventKind.SECURE_BOOT_VARIABLES,
    (8, "EV_IPL"): EventKind.GRUB,
    (9, "EV_IPL"): EventKind.GRUB,
    (14, "EV_IPL"): EventKind.SHIM_LISTS,
}
"""Register of a TPM and type; GPT events only where the data, which firmware measures whole, proves what they are."""
_TAGS = {(1, "systemd-stub: SMBIOS"): EventKind.SMBIOS, (9, "Linux: initrd"): EventKind.INITRD}


def kind_of(event: LoggedEvent, log: EventLog) -> EventKind | None:
    """The kind of an event in the register that it belongs to; None for what no policy may tolerate."""
    for (pcr, type_name), kind in _PLACES.items():
        if event.type_name == type_name and event.register == number_in_log(pcr, log.kind):
            return kind

    if event.type_name == "EV_EVENT_TAG":
        try:
            tag, _ = event_data.tagged(event.data)
        except FormatError:
            return None
        for (pcr, name), kind in _TAGS.items():
            if event_data.TAGS.get(tag, "").startswith(name) and event.register == number_in_log(pcr, log.kind):
                return kind
    return None
