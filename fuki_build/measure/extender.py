"""The program that extended a register, derived from the register, the event's type and its content.

Sources: TCG, "PC Client Platform Firmware Profile" 1.06, 3.3.4; the UAPI group's TPM PCR registry; shim's tpm.c,
GRUB's tpm.c, systemd's tpm2-pcr.h; logs of real machines. A log does not record the author of an event: the result
follows the known programs' behaviour, and a program that imitates another's events is reported as that one.
"""

from uuid import UUID

from fuki_build.errors import FormatError
from fuki_build.formats.tcg import event_data
from fuki_build.formats.tcg.event_log import EventLog, LoggedEvent, LogKind
from fuki_build.image.section import STUB_MEASURED
from fuki_build.measure.events import Measurer

_SHIM_VENDOR = UUID("605dab50-e046-4300-abb6-3dd810dd8b23")
_SHIM_LISTS = ("MokList", "MokListX", "MokListTrusted", "MokSBState", "SbatLevel", "Shim")
_GRUB_TEXTS = ("grub_", "kernel_cmdline", "module_cmdline", "/", "(")
"""Prefixes of GRUB's texts: its commands, and the paths of files that it read."""
_TAGGED = {"Linux": Measurer.KERNEL, "systemd-boot": Measurer.BOOT_MENU, "systemd-stub": Measurer.STUB}
"""By the first word of the name that `event_data` has for a tag."""

_LAST_OF_FIRMWARE = 7
_PCRS = {10: Measurer.KERNEL, 11: Measurer.STUB, 13: Measurer.STUB, 14: Measurer.SHIM, 15: Measurer.SYSTEM}
"""Registers of a TPM that one program fills. Linux's IMA has PCR 10, shim's keys PCR 14."""
_STUB_PCR, _OPTIONS_PCR = 11, 12
_DYNAMIC_ROOT_PCRS = range(17, 23)
_SYSTEM_RTMR, _FREE_RTMR = 3, 4
"""RTMR2 and RTMR3, as the log of a confidential guest numbers them."""


def extender(event: LoggedEvent, log: EventLog) -> Measurer:
    """The program that extended the register of an event of this log."""
    if log.kind is LogKind.CC and event.register >= _FREE_RTMR:
        return Measurer.RUNNING

    match event.type_name:
        case "EV_EFI_BOOT_SERVICES_APPLICATION":
            return _loader(event)
        case "EV_EFI_VARIABLE_AUTHORITY":
            return _authority(event)
        case "EV_EVENT_TAG":
            return _tagger(event)
        case "EV_SEPARATOR" | "EV_ACTION" | "EV_EFI_ACTION":
            return Measurer.FIRMWARE

    return _in_guest(event) if log.kind is LogKind.CC else _in_tpm(event, log)


def _in_tpm(event: LoggedEvent, log: EventLog) -> Measurer:
    if event.register <= _LAST_OF_FIRMWARE:
        return Measurer.FIRMWARE
    if event.register in _PCRS:
        return _PCRS[event.register]
    if event.register == _OPTIONS_PCR:
        # Stub and boot menu both measure options; if the stub ran, PCR 11 has events too.
        return Measurer.STUB if _STUB_PCR in log.numbers else Measurer.BOOT_MENU
    if event.register in _DYNAMIC_ROOT_PCRS:
        return Measurer.DYNAMIC_ROOT
    return _boot_loader(event) if event.type_name == "EV_IPL" else Measurer.UNKNOWN


def _in_guest(event: LoggedEvent) -> Measurer:
    if event.register < _SYSTEM_RTMR:
        return Measurer.FIRMWARE
    text = event_data.text(event.data)
    if text in _SHIM_LISTS:
        return Measurer.SHIM
    return Measurer.STUB if text in STUB_MEASURED else _boot_loader(event)


def _boot_loader(event: LoggedEvent) -> Measurer:
    return Measurer.GRUB if event_data.text(event.data).startswith(_GRUB_TEXTS) else Measurer.LOADER


def _loader(event: LoggedEvent) -> Measurer:
    """Firmware records the device that a program was loaded from; shim and others that load programs do not."""
    try:
        path = event_data.image_path(event.data)
    except FormatError:
        return Measurer.FIRMWARE
    return Measurer.FIRMWARE if path and not path.startswith("\\") else Measurer.LOADER


def _authority(event: LoggedEvent) -> Measurer:
    try:
        variable = event_data.variable(event.data)
    except FormatError:
        return Measurer.FIRMWARE
    return Measurer.SHIM if variable.vendor == _SHIM_VENDOR or variable.name in _SHIM_LISTS else Measurer.FIRMWARE


def _tagger(event: LoggedEvent) -> Measurer:
    try:
        tag, _ = event_data.tagged(event.data)
    except FormatError:
        return Measurer.UNKNOWN
    return _TAGGED.get(event_data.TAGS.get(tag, "").partition(":")[0], Measurer.UNKNOWN)
