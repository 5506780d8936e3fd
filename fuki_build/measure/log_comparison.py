"""Events of a log held against predicted ones: which are the image's, which firmware's, and which are unexpected."""

from collections.abc import Sequence
from enum import StrEnum

from msgspec import Struct

from fuki_build.formats.tcg import event_data
from fuki_build.formats.tcg.event_log import EventLog, LoggedEvent, LogKind
from fuki_build.measure import pcr0, pcr4, pcr9, pcr11, pcr12, rtmr
from fuki_build.measure.events import CONSTANT, Event, Measurer
from fuki_build.measure.extender import extender
from fuki_build.measure.predict import Prediction

IMAGE_REGISTERS = (pcr4.PCR, pcr9.PCR, pcr11.PCR, pcr12.PCR)
"""Registers whose content the image, and the way it was started, should explain completely."""
_FIRMWARE_TYPES = ("EV_EFI_ACTION", "EV_SEPARATOR")
_KERNEL_RTMR = rtmr.SYSTEM + 1
CC_REGISTERS = {number + 1: pcrs for number, pcrs in rtmr.PCRS.items()}
"""The TPM registers that each measurement register of a confidential guest stands for, as its log numbers them."""


class RegisterVerdict(StrEnum):
    IMAGE = "image"
    """As predicted from the image, how it was started, and the variables that were given."""
    FIRMWARE = "firmware"
    """From firmware, in a register that is not the image's, or one of firmware's constants."""
    UNDECIDED = "undecided"
    """An event was expected but cannot be predicted, there is no image to compare with, or another program made it."""
    UNEXPECTED = "unexpected"
    """In a register of the image, but not predicted from it."""
    INFORMATION = "information"
    """Does not extend a register."""


class Explained(Struct, frozen=True, kw_only=True):
    """An event of a log, and the reason for it. `by` is the program that extended the register; None if none did.

    `predicted` is the event of the image's prediction that it is, or whose place it takes.
    """

    event: LoggedEvent
    verdict: RegisterVerdict
    what: str
    data_matches: bool | None
    by: Measurer | None = None
    predicted: Event | None = None


def number_in_log(pcr: int, kind: LogKind) -> int:
    """The number that a log has for a TPM's register; register 0 stands for MRTD, as 0 does."""
    if kind is LogKind.TPM or pcr == pcr0.PCR:
        return pcr
    return next(number for number, covered in CC_REGISTERS.items() if pcr in covered)


def numbers_in_log(log: EventLog, pcrs: Sequence[int]) -> set[int]:
    """The numbers that the log uses for a TPM's registers."""
    return {number_in_log(pcr, log.kind) for pcr in pcrs}


def compare(log: EventLog, prediction: Prediction) -> tuple[tuple[Explained, ...], tuple[Event, ...]]:
    """Each event with the next prediction for its register with its digest, else with one that has no digest."""
    remaining = list(prediction.events)
    matches: list[Event | None] = []
    for event in log.events:
        match = next((e for e in remaining if _same(log, event, e)), None) if event.extends else None
        if match is not None:
            remaining.remove(match)
        matches.append(match)

    items = []
    for event, match in zip(log.events, matches, strict=True):
        alike = None
        # An event without a match takes the place of a predicted one whose digest is unknown.
        if match is None and event.extends:
            alike = next((e for e in remaining if e.unknown and _alike(log, event, e)), None)
            if alike is not None:
                remaining.remove(alike)

        items.append(explain_event(event, match or alike, log, prediction.registers))

    return tuple(items), tuple(event for event in remaining if not event.unknown or _is_initrd(event))


def _is_initrd(event: Event) -> bool:
    """Whether an event is over the initrd, which is measured even if unknown; other such events need not occur."""
    return event.pcr == pcr9.PCR and event.source != pcr9.OPTIONS


def _same(log: EventLog, event: LoggedEvent, predicted: Event) -> bool:
    if event.register not in numbers_in_log(log, (predicted.pcr,)):
        return False
    shared = set(event.digests) & set(predicted.digests)
    return bool(shared) and all(event.digests[bank] == predicted.digests[bank] for bank in shared)


def _alike(log: EventLog, event: LoggedEvent, predicted: Event) -> bool:
    return event.register in numbers_in_log(log, (predicted.pcr,)) and event.type_name == predicted.type


def explain_event(event: LoggedEvent, prediction: Event | None, log: EventLog, own: Sequence[int] = ()) -> Explained:
    """The verdict on an event; `own` are the predicted registers, none without an image."""
    matches = event_data.digest_is_of_data(event)
    described = event_data.describe(event)

    if not event.extends:
        return Explained(event=event, verdict=RegisterVerdict.INFORMATION, what=described, data_matches=None)

    if prediction is None:
        by = extender(event, log)
        return Explained(
            event=event, verdict=_without_prediction(event, by, log, own), what=described, data_matches=matches, by=by
        )

    verdict, what = RegisterVerdict.IMAGE, prediction.what
    if prediction.unknown:
        verdict, what = RegisterVerdict.UNDECIDED, f"perhaps {prediction.what}: {prediction.unknown}"
    elif prediction.by is Measurer.FIRMWARE and prediction.source == CONSTANT:
        verdict, what = RegisterVerdict.FIRMWARE, described

    return Explained(
        event=event, verdict=verdict, what=what, data_matches=matches, by=prediction.by, predicted=prediction
    )


def _without_prediction(event: LoggedEvent, by: Measurer, log: EventLog, own: Sequence[int]) -> RegisterVerdict:
    """The verdict on an event without a prediction."""
    if own and _is_in(event, log, own):
        return RegisterVerdict.UNEXPECTED
    if by is not Measurer.FIRMWARE:
        return RegisterVerdict.UNDECIDED

    # Without an image to compare with, a program that firmware loads may be one.
    is_constant = own or event.type_name in _FIRMWARE_TYPES

    return (
        RegisterVerdict.FIRMWARE
        if is_constant or not _is_in(event, log, IMAGE_REGISTERS)
        else RegisterVerdict.UNDECIDED
    )


def _is_in(event: LoggedEvent, log: EventLog, own: Sequence[int]) -> bool:
    """Whether an event belongs to these registers; where a guest's are shared with firmware, its type decides."""
    if log.kind is LogKind.TPM:
        return event.register in own
    shared = event.register == _KERNEL_RTMR or event.type_name == "EV_EFI_BOOT_SERVICES_APPLICATION"
    return shared and event.register in numbers_in_log(log, own)
