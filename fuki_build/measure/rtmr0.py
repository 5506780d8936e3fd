"""RTMR0 of a TDX guest: what of its firmware's settings files decide, and what not.

Sources: edk2's OvmfPkg/IntelTdx/TdxHelperLib/SecTdxHelper.c, TdTcg2Dxe.c and AcpiPlatformDxe; logs of guests. Firmware
measures the TD HOB and its configuration volume, then Secure Boot's variables with a separator, ACPI tables, and last
the boot options.
"""

from collections.abc import Iterator, Sequence

from fuki_build.errors import FormatError
from fuki_build.formats.confidential import td_hob
from fuki_build.formats.confidential.ovmf import TdxKind, TdxSection
from fuki_build.formats.reader import Reader
from fuki_build.measure.events import Event, Measurer
from fuki_build.measure.pcr1 import OPTIONS, PCR, TABLES
from fuki_build.measure.registers import digests

BANK = "sha384"
_SOURCE = "the firmware"
_MACHINE, _HYPERVISOR = "the machine", "the hypervisor"
_MAX_CONFIGURATION = 16 * 1024 * 1024

_NO_MEMORY = "the TD HOB lists the guest's memory; say --memory for one of QEMU q35"
_NO_VARIABLES = "Secure Boot's variables are not known; the firmware's file has them, give it as --variables too"


def configuration_events(image: Reader, sections: Sequence[TdxSection], memory: int | None) -> tuple[Event, ...]:
    """The TD HOB of a guest with so many bytes of memory, and the configuration volume; nothing without one.

    `sections` are those of the firmware's TDX metadata. Raises `FormatError` where they cannot be.
    """
    volume = next((section for section in sections if section.kind == TdxKind.CFV), None)
    if volume is None:
        return ()

    if volume.raw_size > _MAX_CONFIGURATION:
        raise FormatError(f"its configuration volume claims {volume.raw_size} bytes")
    content = image.read(volume.offset, volume.raw_size, "the configuration volume")
    hob = None if memory is None else td_hob.encode(memory, sections)
    return (
        _event("EV_EFI_HANDOFF_TABLES2", "the TD HOB", _HYPERVISOR, hob, _NO_MEMORY),
        _event("EV_EFI_PLATFORM_FIRMWARE_BLOB2", f"the configuration volume, {len(content)} bytes", _SOURCE, content),
    )


def with_later(events: Sequence[Event]) -> Iterator[Event]:
    """The events of RTMR0 that are predicted of variables and programs, and the others that firmware measures there.

    What vouches for programs follows the boot options, as in a boot from disk.
    """
    variables = [event for event in events if event.type != "EV_EFI_VARIABLE_AUTHORITY"]
    if not variables:
        yield _event("EV_EFI_VARIABLE_DRIVER_CONFIG", "Secure Boot's variables", _MACHINE, None, _NO_VARIABLES)
    yield from variables
    yield _event("EV_PLATFORM_CONFIG_FLAGS", "ACPI tables", _HYPERVISOR, None, TABLES)
    yield _event("EV_EFI_VARIABLE_BOOT", "boot options and their order", _MACHINE, None, OPTIONS)
    yield from (event for event in events if event.type == "EV_EFI_VARIABLE_AUTHORITY")


def _event(kind: str, description: str, source: str, content: bytes | None, unknown: str = "") -> Event:
    return Event(
        pcr=PCR,
        type=kind,
        what=description,
        source=source,
        by=Measurer.FIRMWARE,
        digests={} if content is None else digests(content, [BANK]),
        unknown=unknown if content is None else "",
    )
