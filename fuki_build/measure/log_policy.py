"""Event logs judged event by event by a policy: what is not named by it is refused.

A log's types and texts are not measured, only digests are (TCG, "PC Client Platform Firmware Profile" 1.06, 10.4). So
an event is accepted for its digest alone, whatever the log says that it is; and a kind of event that is tolerated is so
only in the register where firmware measures it, where nothing else is to be told from it.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum

from msgspec import Struct

from fuki_build.formats.tcg import event_data
from fuki_build.formats.tcg.event_log import EventLog, LoggedEvent, LogKind
from fuki_build.measure import pcr0, pcr4, pcr7, pcr9, pcr11, pcr12
from fuki_build.measure.boot import Boot
from fuki_build.measure.explain import Explanation
from fuki_build.measure.log_comparison import IMAGE_REGISTERS, Explained, RegisterVerdict, number_in_log
from fuki_build.measure.pcr12 import FROM_SMBIOS, PASSED
from fuki_build.measure.secure_boot_rule import SecureBootRule
from fuki_build.measure.tolerated import WORDS, EventKind, kind_of

_ACTIONS = {
    pcr4.PCR: (pcr4.CALLING, b"Returning from EFI Application from Boot Option"),
    5: (
        b"Exit Boot Services Invocation",
        b"Exit Boot Services Returned with Success",
        b"Exit Boot Services Returned with Failure",
    ),
}
"""What firmware says on every machine that starts a system, by register (10.4.4)."""
_SEPARATORS = (bytes(4), b"\xff" * 4)
"""The values of a separator; another one tells an error of the firmware."""
_LAST_OF_FIRMWARE = 7
_IMAGE = (pcr9.PCR, pcr11.PCR, pcr12.PCR, 13)
"""Registers that stub and kernel fill."""
_FALSE = "its digest is of something else than its data"
_FIRMWARE_TYPES = (
    "EV_EFI_HCRTM_EVENT",
    "EV_EFI_PLATFORM_FIRMWARE_BLOB",
    "EV_EFI_PLATFORM_FIRMWARE_BLOB2",
    "EV_POST_CODE",
    "EV_POST_CODE2",
    "EV_S_CRTM_CONTENTS",
    "EV_S_CRTM_VERSION",
)
_PROGRAM_TYPES = (pcr4.APPLICATION, "EV_EFI_BOOT_SERVICES_DRIVER", "EV_EFI_RUNTIME_SERVICES_DRIVER")


class Ruling(StrEnum):
    ACCEPTED = "accepted"
    """The policy names its digest, or it is what firmware measures on every machine."""
    TOLERATED = "tolerated"
    """The policy lets events of this kind be, whatever they are."""
    REFUSED = "refused"
    NOT_JUDGED = "not judged"
    """It extends no register."""


class LogPolicy(Struct, frozen=True, kw_only=True):
    """What a log may have, in one bank. Digests are by register, as the log numbers it, with what names each.

    `options` and `smbios_options` are the command lines that may be passed to the image. One of the digests in
    `firmware`, and one of the images in `image_names`, has to be in the log, where there are any.
    """

    bank: str
    digests: Mapping[int, Mapping[bytes, str]] = {}
    secure_boot: SecureBootRule = SecureBootRule()
    tolerated: frozenset[EventKind] = frozenset()
    options: tuple[str, ...] = ()
    smbios_options: tuple[str, ...] = ()
    firmware: frozenset[bytes] = frozenset()
    image_names: tuple[str, ...] = ()


class JudgedEvent(Struct, frozen=True, kw_only=True):
    """The ruling on one event, by its number in the log. `because` says why; `remedy` what in a policy accepts it."""

    number: int
    event: LoggedEvent
    ruling: Ruling
    because: str
    remedy: str = ""


class LogJudgement(Struct, frozen=True):
    """A log as a policy sees it; `missing` says what the policy names and the log does not have."""

    events: tuple[JudgedEvent, ...]
    missing: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing is refused and nothing is missing."""
        return not self.missing and all(item.ruling is not Ruling.REFUSED for item in self.events)


def judge(log: EventLog, policy: LogPolicy, explanation: Explanation | None, image: str = "") -> LogJudgement:
    """Judge each event; `explanation` is by the image, of this name, that fits the log best. None without images."""
    by_image = [("", "")] * len(log.events)
    # An image that was not started accounts for nothing, though others have sections that are like its own.
    if explanation is not None and explanation.boot is not None and _was_started(explanation):
        boot = explanation.boot
        by_image = [_by_image(item, boot, policy, image) for item in explanation.events]

    pairs = zip(log.events, by_image, strict=True)
    events = tuple(_judge(number, event, reasons, log, policy) for number, (event, reasons) in enumerate(pairs))
    return LogJudgement(events, tuple(_missing(events, log, policy, explanation)))


def _judge(number: int, event: LoggedEvent, by_image: tuple[str, str], log: EventLog, policy: LogPolicy) -> JudgedEvent:
    """The ruling on one event; `by_image` is what `_by_image` says of it."""
    if not event.extends:
        return JudgedEvent(number=number, event=event, ruling=Ruling.NOT_JUDGED, because="it extends no register")
    if policy.bank not in event.digests:
        return JudgedEvent(
            number=number, event=event, ruling=Ruling.REFUSED, because=f"it has no digest in {policy.bank}"
        )

    because, objection = _reasons(event, by_image, log, policy)
    if because:
        return JudgedEvent(number=number, event=event, ruling=Ruling.ACCEPTED, because=because)
    kind = kind_of(event, log)
    if kind is not None and kind in policy.tolerated and objection != _FALSE:
        return JudgedEvent(
            number=number, event=event, ruling=Ruling.TOLERATED, because=f'tolerate "{kind}": {WORDS[kind]}'
        )
    return JudgedEvent(
        number=number, event=event, ruling=Ruling.REFUSED, because=objection, remedy=_remedy(event, log, policy)
    )


def _reasons(event: LoggedEvent, by_image: tuple[str, str], log: EventLog, policy: LogPolicy) -> tuple[str, str]:
    """Why an event is accepted, else what is against it."""
    # A digest that is named is accepted for itself; everything else is read out of the data.
    named = policy.digests.get(event.register, {}).get(event.digests[policy.bank])
    if named is not None:
        return named, ""
    if event_data.digest_is_of_data(event) is False:
        return "", _FALSE
    if _is_constant(event, log):
        return "firmware measures it on every machine", ""

    by_variable = policy.secure_boot.judge(event, number_in_log(pcr7.PCR, log.kind))
    return by_variable[0] or by_image[0], by_variable[1] or by_image[1] or "nothing in the policy names it"


def _is_constant(event: LoggedEvent, log: EventLog) -> bool:
    """Whether firmware measures just this on every machine; the digest is of the data."""
    if event.type_name == "EV_SEPARATOR":
        last = number_in_log(_LAST_OF_FIRMWARE - 1, log.kind) if log.kind is LogKind.CC else _LAST_OF_FIRMWARE
        return event.data in _SEPARATORS and event.register <= last
    if event.type_name != "EV_EFI_ACTION":
        return False
    return any(
        event.data in texts and event.register == number_in_log(pcr, log.kind) for pcr, texts in _ACTIONS.items()
    )


def _by_image(item: Explained, boot: Boot, policy: LogPolicy, image: str) -> tuple[str, str]:
    """Why the image accounts for an event, and else what is against it, where it is about the command line.

    How the image was started is derived from the log itself: options in it are no more than what somebody passed.
    """
    if item.predicted is None or item.verdict is not RegisterVerdict.IMAGE:
        return "", ""

    passed = {
        "programs.options": (PASSED, boot.options, policy.options),
        "programs.smbios-options": (FROM_SMBIOS, boot.smbios, policy.smbios_options),
    }
    for key, (source, text, allowed) in passed.items():
        # The kernel measures the whole of its options once more.
        if item.predicted.source in (source, pcr9.OPTIONS) and text and text not in allowed:
            return "", f"{key} does not name {text!r}, which was passed to the image"
        if item.predicted.source == source:
            return f"{key} names {text!r}", ""
    return f'programs.images "{image}": {item.predicted.what}', ""


def _was_started(explanation: Explanation) -> bool:
    accounted = (item.predicted for item in explanation.events if item.verdict is RegisterVerdict.IMAGE)
    return any(event is not None and event.source == pcr4.IMAGE for event in accounted)


def _remedy(event: LoggedEvent, log: EventLog, policy: LogPolicy) -> str:
    """What in the policy would accept an event: what is about its register and type first, else its digest."""
    value = f'"{policy.bank}:{event.digests[policy.bank].hex()}"'
    table = f"[[events]] with register = {event.register} and digest = {value}"
    kind = kind_of(event, log)

    def is_in(*pcrs: int) -> bool:
        return event.register in {number_in_log(pcr, log.kind) for pcr in pcrs}

    remedies = {
        f"firmware.files with the firmware's file, or firmware.digests = [{value}]": (
            event.type_name in _FIRMWARE_TYPES and event.register in firmware_registers(log.kind)
        ),
        f"programs.images or programs.loaders with the program's file, or programs.digests = [{value}]": (
            event.type_name in _PROGRAM_TYPES and event.register in program_registers(log.kind)
        ),
        "[secure-boot] with its state and the files of its variables": (
            event.type_name == "EV_EFI_VARIABLE_DRIVER_CONFIG" and is_in(pcr7.PCR)
        ),
        "secure-boot.authorities with the file of the certificate": event.type_name == pcr7.AUTHORITY
        and is_in(pcr7.PCR),
        f'tolerate = ["{kind}"], or {table}': kind is not None,
        f"programs.images with the image's file and programs.options with what is passed to it, or {table}": (
            event.type_name == "EV_IPL" and is_in(pcr12.PCR)
        ),
        f"programs.images with the file of the image that was started, or {table}": is_in(*_IMAGE),
    }
    return next((remedy for remedy, applies in remedies.items() if applies), table)


def firmware_registers(kind: LogKind) -> tuple[int, ...]:
    """The registers that firmware measures itself into, as a log numbers them."""
    return (pcr0.PCR,) if kind is LogKind.TPM else (pcr0.PCR, number_in_log(1, kind))


def program_registers(kind: LogKind) -> tuple[int, ...]:
    """The registers of the programs and drivers that firmware loads, as a log numbers them."""
    return tuple(dict.fromkeys(number_in_log(pcr, kind) for pcr in (2, pcr4.PCR)))


def _missing(
    events: tuple[JudgedEvent, ...], log: EventLog, policy: LogPolicy, explanation: Explanation | None
) -> Iterator[str]:
    """What the policy asks for and the log does not show: a log that tells nothing is no good log."""
    accepted = [item for item in events if item.ruling is Ruling.ACCEPTED]

    if policy.firmware and not any(item.event.digests[policy.bank] in policy.firmware for item in accepted):
        yield "no event is of the firmware that [firmware] names"
    yield from policy.secure_boot.missing([item.event for item in accepted], number_in_log(pcr7.PCR, log.kind))

    if explanation is None:
        return
    if not _was_started(explanation):
        yield f"none of programs.images was started: {', '.join(policy.image_names)}"
        return
    for event in explanation.missing:
        if event.pcr in IMAGE_REGISTERS:
            yield f"PCR {event.pcr} has no event of {event.what}"
