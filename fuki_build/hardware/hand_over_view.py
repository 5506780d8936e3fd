"""A hand-over in plain, typed words: what `fuki hand-over status` prints, and `fuki machine show` of this machine."""

from fuki_build.formats.documents import Document, View
from fuki_build.formats.uki.hand_over_outcome import RESULTS, HandOverOutcome, HandOverResult

RUNNING = (HandOverResult.HANDED_OVER, HandOverResult.ALREADY_RUNNING)


class ReasonOfOutcome(View, frozen=True):
    """Why, by number and in words."""

    number: int
    text: str


class HandOverDevice(View, frozen=True):
    """What the device said last, as numbers."""

    version: int
    status: int
    capabilities: int
    control: int


class HandOverDocument(Document, frozen=True, kw_only=True):
    """What came of handing the firmware over; without a hand-over program there is only `text`, all else is null.

    `fwid` is of the firmware that was selected, `size` in bytes; through `chid`, of the type `type`.
    """

    result: str | None = None
    running: bool | None = None
    text: str
    reason: ReasonOfOutcome | None = None
    fwid: str | None = None
    size: int | None = None
    profile: int | None = None
    type: int | None = None
    chid: str | None = None
    options: tuple[str, ...] | None = None
    device: HandOverDevice | None = None


def view_outcome(outcome: HandOverOutcome | None) -> HandOverDocument:
    """An outcome, or that there is none."""
    if outcome is None:
        return HandOverDocument(text="the image has no hand-over program, or none that this machine started")
    return HandOverDocument(
        result=outcome.result.label,
        running=outcome.result in RUNNING,
        text=RESULTS[outcome.result],
        reason=ReasonOfOutcome(outcome.reason, outcome.reason_text) if outcome.reason else None,
        fwid=outcome.fwid or None,
        size=outcome.firmware_size,
        profile=outcome.profile,
        type=outcome.chid_type if outcome.chid else None,
        chid=str(outcome.chid) if outcome.chid else None,
        options=tuple(option.name.lower().replace("_", "-") for option in outcome.options if option.name),
        device=HandOverDevice(
            version=outcome.device_version,
            status=outcome.device_status,
            capabilities=outcome.device_capabilities,
            control=outcome.device_control,
        ),
    )
