"""Event logs explained: event by event what came from the image, what from firmware, and what is unexpected."""

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import product

from msgspec import Struct
from msgspec.structs import replace

from fuki_build.formats.hashes import SIZES
from fuki_build.formats.tcg import event_data
from fuki_build.formats.tcg.event_log import EventLog, LoggedEvent, LogKind
from fuki_build.measure import pcr4, pcr7, pcr9, pcr11, pcr12, rtmr
from fuki_build.measure.boot import Boot, BootMethod
from fuki_build.measure.cmdline import encode, mangle
from fuki_build.measure.events import CONSTANT, Event, Measurer
from fuki_build.measure.extender import extender
from fuki_build.measure.pcr7 import SecureBootPolicy, SecureBootState
from fuki_build.measure.predict import Case, Prediction, predict
from fuki_build.measure.registers import digests, replay
from fuki_build.measure.section_digests import SectionDigests

IMAGE_REGISTERS = (pcr4.PCR, pcr9.PCR, pcr11.PCR, pcr12.PCR)
"""Registers that should hold nothing that the image, and how it was started, do not explain."""
_UARTS = ("0x3f8", "0x2f8", "0x3e8", "0x2e8")
_SECOND = ("", " console=tty0", " console=hvc0", " console=hvc0 console=tty0")
CONSOLES = (
    "",
    *(f"console=uart,io,{port}{more}" for port in _UARTS for more in _SECOND),
    *("console=hvc0", "console=hvc0 console=tty0", "console=tty0"),
)
"""What stubs append to a command line without `console=` (console.c, 261 and 262)."""
_MAX_SEARCHED = 128
"""Most events in the image's registers for which ways to boot are tried; real logs have some fifty."""
_MAX_TEXTS = 4
_FIRMWARE_TYPES = ("EV_EFI_ACTION", "EV_SEPARATOR")
_KERNEL_RTMR = rtmr.SYSTEM + 1
CC_REGISTERS = {number + 1: pcrs for number, pcrs in rtmr.PCRS.items()}
"""Registers of a TPM that each measurement register of a confidential guest stands for, as its log numbers them."""


class RegisterVerdict(StrEnum):
    IMAGE = "image"
    """As is predicted of the image, how it was started, and the variables that were given."""
    FIRMWARE = "firmware"
    """By firmware, in a register that is not the image's, or one of firmware's constants."""
    UNDECIDED = "undecided"
    """Where an event is expected that cannot be predicted, where there is no image to compare with, or by others."""
    UNEXPECTED = "unexpected"
    """In a register of the image, which does not predict it."""
    INFORMATION = "information"
    """Extends no register."""


class Explained(Struct, frozen=True):
    """An event of a log, and why it is there. `by` is who extended the register; None where nobody did."""

    event: LoggedEvent
    verdict: RegisterVerdict
    what: str
    data_matches: bool | None
    by: Measurer | None = None


class Explanation(Struct, frozen=True):
    """A log held against an image: the case and boot that fit best, each event, and what is missing."""

    prediction: Prediction | None
    boot: Boot | None
    events: tuple[Explained, ...]
    missing: tuple[Event, ...]

    @property
    def complete(self) -> bool:
        """Whether nothing is unexpected and nothing is missing."""
        return not self.missing and all(item.verdict is not RegisterVerdict.UNEXPECTED for item in self.events)


def registers(log: EventLog, bank: str) -> dict[int, bytes]:
    """The registers that replaying a log gives, of those that it extends."""
    extended: dict[int, list[bytes]] = {}
    for event in log.events:
        if event.extends and bank in event.digests:
            extended.setdefault(event.register, []).append(event.digests[bank])
    size = len(next(iter(extended.values()))[0]) if extended else 0
    # Only PCR 0 tells in which locality the TPM was started.
    starts = {0: bytes(size - 1) + bytes([log.locality])} if size and log.kind is LogKind.TPM else {}
    return {register: replay(bank, values, starts.get(register)) for register, values in sorted(extended.items())}


def explain(
    log: EventLog, contents: SectionDigests | None = None, cases: Sequence[Case] = (), boot: Boot | None = None
) -> Explanation:
    """Explain a log by an image, or without one only by what firmware does.

    `boot` is what is known of it; passed options, the console and the way are found out from the log. Of `cases` the
    one is taken that the log's PCR 11 fits best.
    """
    if contents is None:
        return Explanation(None, None, tuple(_explain(event, None, log) for event in log.events), ())
    prediction, how = _fitting(log, contents, cases, boot or Boot())
    items, missing = _compare(log, prediction)
    return Explanation(prediction, how, items, missing)


def _fitting(log: EventLog, contents: SectionDigests, cases: Sequence[Case], boot: Boot) -> tuple[Prediction, Boot]:
    """The prediction that leaves least of the log unexplained: by the case first, then by the boot.

    What PCR 12 tells is found before what only PCR 9 confirms, so that few boots have to be tried.
    """
    start = replace(boot, method=_boot_method(log, boot))
    numbers = _numbers(log, (*IMAGE_REGISTERS, *((pcr7.PCR,) if start.policy else ())))
    own = replace(log, events=tuple(e for e in log.events if e.extends and e.register in numbers)[:_MAX_SEARCHED])
    first = max(_predict(log, contents, cases, start), key=lambda p: (_score(own, p), -len(p.events)))

    def best(boots: Iterable[Boot]) -> list[tuple[int, Prediction, Boot]]:
        """Those that fit best, with their score; not many, for a log that nothing fits."""
        found = [(_score(own, p), p, how) for how in boots for p in _predict(log, contents, [first.case], how)]
        most = max(score for score, _, _ in found)
        return [item for item in found if item[0] == most][:_MAX_TEXTS]

    known = replace(start, secret=False, console=start.console or "")
    candidates = best(_with_texts(own, first, known))
    if start.console is None and contents.layout.model.adds_console:
        candidates = best(replace(how, console=console) for _, _, how in candidates for console in CONSOLES)
    candidates = best(replace(how, policy=policy) for _, _, how in candidates for policy in _policies(boot.policy))
    if start.secret:
        candidates = best(replace(how, secret=secret) for _, _, how in candidates for secret in (False, True))
    _, prediction, how = candidates[0]
    return prediction, how


def _predict(log: EventLog, contents: SectionDigests, cases: Sequence[Case], boot: Boot) -> tuple[Prediction, ...]:
    """The predictions, of a confidential guest without what its stub measures only into TPMs."""
    found = predict(contents, cases, boot)
    if log.kind is LogKind.TPM:
        return found
    return tuple(replace(each, events=rtmr.measured(each, contents.layout.model)) for each in found)


def _boot_method(log: EventLog, boot: Boot) -> BootMethod:
    """A program before the announcement that the firmware boots was handed over by the hypervisor."""
    for event in log.events:
        if event.register == pcr4.PCR and event.type_name == "EV_EFI_BOOT_SERVICES_APPLICATION":
            return BootMethod.DIRECT
        if event.register == pcr4.PCR and event.type_name == "EV_EFI_ACTION":
            return BootMethod.DISK
    return boot.method


def _with_texts(log: EventLog, first: Prediction, boot: Boot) -> Iterator[Boot]:
    """Boots with options that the log's own texts suggest. They are believed only where a digest confirms them."""
    bank = first.banks[0]
    known = {event.digests[bank] for event in first.events if event.pcr == pcr12.PCR and event.digests}
    found = (_options(event) for event in log.events if event.digests.get(bank) not in known)
    texts = [text for text in dict.fromkeys(found) if text][:_MAX_TEXTS]
    options = [None, *texts] if boot.options is None else [boot.options]
    extras = [None, *texts] if boot.smbios is None else [boot.smbios]
    for option, extra in product(options, extras):
        yield replace(boot, options=option, smbios=extra)


def _policies(policy: SecureBootPolicy | None) -> list[SecureBootPolicy | None]:
    """Firmware that was built without Secure Boot measures another value than firmware that has it turned off."""
    if policy is None or policy.state is not SecureBootState.OFF:
        return [policy]
    return [policy, replace(policy, state=SecureBootState.ABSENT)]


def _options(event: LoggedEvent) -> str:
    """The options that an event of PCR 12 is over, if its data says so truly."""
    if event.register != pcr12.PCR or event.type_name != "EV_IPL":
        return ""
    text = event_data.text(event.data)
    measured = digests(encode(text), [bank for bank in event.digests if bank in SIZES])
    return text if measured and all(event.digests[bank] == value for bank, value in measured.items()) else ""


def _score(log: EventLog, prediction: Prediction) -> int:
    """Explained events, less what is unexpected or missing; what is undecided counts for nothing."""
    items, missing = _compare(log, prediction)
    explained = sum(item.verdict in {RegisterVerdict.IMAGE, RegisterVerdict.FIRMWARE} for item in items)
    return explained - sum(item.verdict is RegisterVerdict.UNEXPECTED for item in items) - len(missing)


def _numbers(log: EventLog, wanted: Sequence[int]) -> set[int]:
    """The log's numbers of a TPM's registers."""
    if log.kind is LogKind.TPM:
        return set(wanted)
    return {number for number, covered in CC_REGISTERS.items() if set(covered) & set(wanted)}


def _compare(log: EventLog, prediction: Prediction) -> tuple[tuple[Explained, ...], tuple[Event, ...]]:
    """Each event with the prediction's next of its register that has its digest, else with one that cannot be told."""
    waiting = list(prediction.events)
    found: list[Event | None] = []
    for event in log.events:
        same = next((e for e in waiting if _same(log, event, e)), None) if event.extends else None
        if same is not None:
            waiting.remove(same)
        found.append(same)
    items = []
    for event, same in zip(log.events, found, strict=True):
        alike = None
        if same is None and event.extends:
            alike = next((e for e in waiting if e.unknown and _alike(log, event, e)), None)
            if alike is not None:
                waiting.remove(alike)
        items.append(_explain(event, same or alike, log, prediction.registers))
    return tuple(items), tuple(event for event in waiting if not event.unknown or _is_initrd(event))


def _is_initrd(event: Event) -> bool:
    """An initrd is measured even where its digest cannot be told; other such events may not come at all."""
    return event.pcr == pcr9.PCR and event.source != pcr9.OPTIONS


def _same(log: EventLog, event: LoggedEvent, predicted: Event) -> bool:
    if event.register not in _numbers(log, (predicted.pcr,)):
        return False
    shared = set(event.digests) & set(predicted.digests)
    return bool(shared) and all(event.digests[bank] == predicted.digests[bank] for bank in shared)


def _alike(log: EventLog, event: LoggedEvent, predicted: Event) -> bool:
    return event.register in _numbers(log, (predicted.pcr,)) and event.type_name == predicted.type


def _explain(event: LoggedEvent, found: Event | None, log: EventLog, own: Sequence[int] = ()) -> Explained:
    """The verdict on an event; `own` are the registers that are predicted, none where there is no image."""
    matches = event_data.digest_is_of_data(event)
    described = event_data.describe(event)
    if not event.extends:
        return Explained(event, RegisterVerdict.INFORMATION, described, None)
    if found is None:
        by = extender(event, log)
        return Explained(event, _without_prediction(event, by, log, own), described, matches, by)
    if found.unknown:
        return Explained(event, RegisterVerdict.UNDECIDED, f"perhaps {found.what}: {found.unknown}", matches, found.by)
    if found.by is Measurer.FIRMWARE and found.source == CONSTANT:
        return Explained(event, RegisterVerdict.FIRMWARE, described, matches, found.by)
    return Explained(event, RegisterVerdict.IMAGE, found.what, matches, found.by)


def _without_prediction(event: LoggedEvent, by: Measurer, log: EventLog, own: Sequence[int]) -> RegisterVerdict:
    """The verdict on an event that nothing predicts."""
    if own and _is_in(event, log, own):
        return RegisterVerdict.UNEXPECTED
    if by is not Measurer.FIRMWARE:
        return RegisterVerdict.UNDECIDED
    # Without an image, what firmware loads and measures may be one.
    is_constant = own or event.type_name in _FIRMWARE_TYPES
    return (
        RegisterVerdict.FIRMWARE
        if is_constant or not _is_in(event, log, IMAGE_REGISTERS)
        else RegisterVerdict.UNDECIDED
    )


def _is_in(event: LoggedEvent, log: EventLog, own: Sequence[int]) -> bool:
    """Confidential guests have registers that firmware and image share: there the event's type decides."""
    if log.kind is LogKind.TPM:
        return event.register in own
    shared = event.register == _KERNEL_RTMR or event.type_name == "EV_EFI_BOOT_SERVICES_APPLICATION"
    return shared and event.register in _numbers(log, own)


def fits_phases(value: bytes, bank: str, start: bytes, paths: Iterable[str]) -> str | None:
    """The phase path after which a register that holds `start` has `value`; None where none of them leads there."""
    for path in paths:
        words = [mangle(word) for word in path.split(":") if word]
        if replay(bank, (event.digests[bank] for event in pcr11.phase_events(words, (bank,))), start) == value:
            return path
    return None
