"""PCR 0: what a virtual machine's firmware measures of itself, where it is OVMF and its file is known.

Sources: TCG, "PC Client Platform Firmware Profile" 1.06, 3.3.4.1; edk2's Tcg2Pei.c and Tcg2Dxe.c. Measured of Debian's
builds on q35: that of 2026.08 has the first volume as in the file; in that of 2025.02 PeiCore notes the port of a timer
in it, in those of 2022.11, and of 2026.08 with system management mode, PlatformPei what it finds out about the machine.
"""

from collections.abc import Iterator, Sequence

from fuki_build.formats.uefi.measured_firmware import MeasuredFirmware
from fuki_build.measure.events import CONSTANT, Event, Measurer
from fuki_build.measure.registers import Digests, digests

PCR = 0
SOURCE = "the firmware"
_BLOB = "EV_EFI_PLATFORM_FIRMWARE_BLOB"


_CHANGED = "in some builds, drivers write into this volume before it is measured; what, depends on the machine"


def firmware_events(firmware: MeasuredFirmware, banks: Sequence[str], *, is_unchanged: bool) -> Iterator[Event]:
    """The version, the volumes, and the separator.

    The first volume has the drivers that run from it, and those of some builds keep variables in it; `is_unchanged`
    says that this build does not.
    """
    version = firmware.version.decode("utf-16-le").rstrip("\0")
    yield _event("EV_S_CRTM_VERSION", f"the firmware's version {version!r}", SOURCE, digests(firmware.version, banks))

    for number, volume in enumerate(firmware.volumes):
        description = f"a volume of the firmware, {len(volume)} bytes"
        unknown = _CHANGED if number == 0 and not is_unchanged else ""
        yield _event(_BLOB, description, SOURCE, {} if unknown else digests(volume, banks), unknown)

    yield _event("EV_SEPARATOR", "the firmware's part ends", CONSTANT, digests(bytes(4), banks))


def _event(kind: str, description: str, source: str, known: Digests, unknown: str = "") -> Event:
    return Event(
        pcr=PCR,
        type=kind,
        what=description,
        source=source,
        by=Measurer.FIRMWARE,
        digests=known,
        unknown=unknown,
    )
