"""The EFI variable `FukiHandOver`: what the hand-over program found and did at this start.

The format is this project's own: docs/reference/hand-over.md.
"""

from enum import IntEnum
from struct import Struct
from uuid import UUID

import msgspec

from fuki_build.errors import FormatError
from fuki_build.formats.reader import unpack
from fuki_build.formats.uki.hand_over_program import HandOverOptions

NAME = "FukiHandOver"
VENDOR = UUID("84314341-6aca-468a-a175-936a763e134b")
VERSION = 1
MAX_SIZE = 64 * 1024
"""More than any version has, in bytes."""
_RECORD = Struct("<HHHHIIQHHIQQ16s")


class HandOverResult(IntEnum):
    """What came of it; the names are those that `fuki hand-over status` tells."""

    HANDED_OVER = 1
    ALREADY_RUNNING = 2
    NO_DEVICE = 3
    REFUSED = 4
    GUARD = 5
    NOTHING_SELECTED = 6
    PENDING = 7

    @property
    def label(self) -> str:
        return self.name.lower().replace("_", "-")


RESULTS: dict[HandOverResult, str] = {
    HandOverResult.HANDED_OVER: "the image's own firmware runs, started by the hypervisor at the image's request",
    HandOverResult.ALREADY_RUNNING: "the image's own firmware runs, and no hand-over was needed",
    HandOverResult.NO_DEVICE: "the hypervisor has no interface that takes firmware",
    HandOverResult.REFUSED: "the firmware could not be handed over",
    HandOverResult.GUARD: "the hypervisor has had this firmware before the last reset, and started another",
    HandOverResult.NOTHING_SELECTED: "the image has no firmware for this machine",
    HandOverResult.PENDING: "the firmware was handed over, but the reset did not come",
}

REASONS: dict[int, str] = {
    1: "the image has no hardware ids",
    2: "the table of hardware ids is damaged",
    3: "no hardware id is this machine's",
    4: "the firmware that the hardware id names is not there",
    5: "the image has no such profile",
    16: "there is no hypervisor",
    17: "the hypervisor has no fw_cfg",
    18: "its fw_cfg has no DMA",
    19: "its fw_cfg has no file etc/vmlaunchupdate",
    32: "the firmware is no IGVM file",
    33: "there was not enough memory",
    34: "the firmware would be written over itself",
    35: "the device is of an unknown version",
    36: "the device takes no IGVM files",
    37: "the device is locked",
    38: "the device could not load the firmware",
    39: "the guest was not started from an IGVM file",
    40: "the device answered with an unknown status",
    41: "the device did not take the firmware",
    42: "the device could not be reached",
    43: "the machine did not reset",
}
"""By number: 1 to 5 go with nothing selected, 16 to 19 with no device, from 32 with refused."""


class HandOverOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """The variable's content.

    `fwid`, `chid` and `chid_type` tell what was selected, and through which hardware id; they are empty where nothing
    was. `device_*` are what the device said last; zeros where there was none.
    """

    result: HandOverResult
    reason: int
    options: HandOverOptions
    profile: int
    fwid: str
    firmware_size: int
    chid_type: int | None
    chid: UUID | None
    device_version: int
    device_status: int
    device_capabilities: int
    device_control: int

    @property
    def reason_text(self) -> str:
        """Why, in words; empty where the result says all."""
        return REASONS.get(self.reason, f"reason {self.reason}") if self.reason else ""


def decode(data: bytes) -> HandOverOutcome:
    """Decode the variable's content, without the attributes that efivarfs puts before it. Raises `FormatError`."""
    (version, size, result, reason, options, profile, firmware_size, *device) = unpack(
        _RECORD, data, 0, f"the variable {NAME}"
    )
    device_version, device_status, chid_type, capabilities, control, chid = device

    if version != VERSION:
        raise FormatError(
            f"the variable {NAME} is of version {version}, this fuki knows {VERSION}",
            hint="read it with the fuki that built the image",
        )
    if size > len(data) or size <= _RECORD.size or data[size - 1]:
        raise FormatError(f"the variable {NAME} claims {size} bytes, it has {len(data)}")
    if result not in list(HandOverResult):
        raise FormatError(f"the variable {NAME} has the unknown result {result}")

    selected = HandOverResult(result) is not HandOverResult.NOTHING_SELECTED
    return HandOverOutcome(
        result=HandOverResult(result),
        reason=reason,
        options=HandOverOptions(options),
        profile=profile,
        fwid=data[_RECORD.size : size - 1].decode("utf-8", "replace") if selected else "",
        firmware_size=firmware_size,
        chid_type=chid_type if selected else None,
        chid=UUID(bytes_le=chid) if selected else None,
        device_version=device_version,
        device_status=device_status,
        device_capabilities=capabilities,
        device_control=control,
    )
