"""PCR 0: what a virtual machine's firmware measures of itself, where that is edk2's and its file is known.

Sources: TCG, "PC Client Platform Firmware Profile" 1.06, 3.3.4.1; edk2's Tcg2Pei.c and Tcg2Dxe.c.
"""

from collections.abc import Iterator, Sequence

from fuki_build.errors import FukiError
from fuki_build.formats.tcg.event_log import EventLog
from fuki_build.formats.uefi.measured_firmware import MeasuredFirmware
from fuki_build.measure.chipset import Chipset
from fuki_build.measure.events import CONSTANT, Event, Measurer
from fuki_build.measure.first_volume import FirstVolume, as_measured
from fuki_build.measure.registers import Digests, digests

PCR = 0
SOURCE = "the firmware"
_LOG = "the firmware's log"
_VERSION, _BLOB = "EV_S_CRTM_VERSION", "EV_EFI_PLATFORM_FIRMWARE_BLOB"


def firmware_events(
    firmware: MeasuredFirmware,
    banks: Sequence[str],
    *,
    chipset: Chipset | None = None,
    is_unchanged: bool = False,
    log: EventLog | None = None,
) -> Iterator[Event]:
    """The version, the volumes, and the separator.

    The first volume has the drivers that run from it: what is measured of it is computed from the file, or taken from
    the log of a machine with the same firmware. `is_unchanged` says that no driver but the PEI core writes into it.
    Raises `FukiError` for the log of a machine with another firmware.
    """
    version = firmware.version.decode("utf-16-le").rstrip("\0")
    measured_version = digests(firmware.version, banks)
    yield _event(_VERSION, f"the firmware's version {version!r}", SOURCE, measured_version)

    first, *others = firmware.volumes
    description = f"a volume of the firmware, {len(first)} bytes"
    if log is not None:
        logged = _in_log(log, firmware)
        known = {bank: logged[bank] for bank in banks if bank in logged}
        unknown = "" if len(known) == len(banks) else "the firmware's log does not have all of these banks"
        yield _event(_BLOB, description, _LOG, {} if unknown else known, unknown)
    else:
        volume = FirstVolume(first) if firmware.in_flash else as_measured(first, chipset, is_unchanged=is_unchanged)
        yield _event(
            _BLOB, description, SOURCE, {} if volume.unknown else digests(volume.content, banks), volume.unknown
        )

    for other in others:
        yield _event(_BLOB, f"a volume of the firmware, {len(other)} bytes", SOURCE, digests(other, banks))
    yield _event("EV_SEPARATOR", "the firmware's part ends", CONSTANT, digests(bytes(4), banks))


def unknown_event(reason: str) -> Event:
    """In place of all that firmware measures of itself, where none of it is known."""
    return _event(_VERSION, "what the firmware measures of itself", SOURCE, {}, reason)


def _in_log(log: EventLog, firmware: MeasuredFirmware) -> Digests:
    """The digests that a log has of the first volume; everything else in it must be as the file has it."""
    measured = [event for event in log.events if event.register == PCR and event.type_name in (_VERSION, _BLOB)]
    contents = (firmware.version, None, *firmware.volumes[1:])
    is_same = len(measured) == len(contents) and all(
        content is None or event.digests == digests(content, event.digests)
        for event, content in zip(measured, contents, strict=True)
    )
    if not is_same:
        raise FukiError("this is not the log of a machine with that firmware: its version or its volumes are others")
    return measured[1].digests


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
