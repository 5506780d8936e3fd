"""Event logs explained by an image: the case and the way to boot it that fit a log best."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import product

from msgspec import Struct
from msgspec.structs import replace

from fuki_build.formats.hashes import SIZES
from fuki_build.formats.tcg import event_data
from fuki_build.formats.tcg.event_log import EventLog, LoggedEvent, LogKind
from fuki_build.measure import pcr4, pcr7, pcr11, pcr12, rtmr
from fuki_build.measure.boot import Boot, BootMethod
from fuki_build.measure.cmdline import encode
from fuki_build.measure.events import Event
from fuki_build.measure.log_comparison import (
    IMAGE_REGISTERS,
    Explained,
    RegisterVerdict,
    compare,
    explain_event,
    number_in_log,
    numbers_in_log,
)
from fuki_build.measure.pcr7 import SecureBootPolicy, SecureBootState
from fuki_build.measure.predict import Case, Prediction, predict
from fuki_build.measure.registers import digests, replay, split_phases
from fuki_build.measure.section_digests import SectionDigests

_UARTS = ("0x3f8", "0x2f8", "0x3e8", "0x2e8")
_SECOND = ("", " console=tty0", " console=hvc0", " console=hvc0 console=tty0")
CONSOLES = (
    "",
    *(f"console=uart,io,{port}{more}" for port in _UARTS for more in _SECOND),
    *("console=hvc0", "console=hvc0 console=tty0", "console=tty0"),
)
"""Texts that stubs append to a command line without `console=` (console.c, 261 and 262)."""
_MAX_SEARCHED = 128
"""Limit of events in the image's registers that are used to find out how it was started; real logs have some fifty."""
_MAX_TEXTS = 4


class Explanation(Struct, frozen=True):
    """A log compared with an image: the case and boot that fit best, each event, and the missing events."""

    prediction: Prediction | None
    boot: Boot | None
    events: tuple[Explained, ...]
    missing: tuple[Event, ...]

    @property
    def complete(self) -> bool:
        """Whether nothing is unexpected and nothing is missing."""
        return not self.missing and all(item.verdict is not RegisterVerdict.UNEXPECTED for item in self.events)


def registers(log: EventLog, bank: str) -> dict[int, bytes]:
    """The values of the registers that a log extends, from replaying it."""
    extended: dict[int, list[bytes]] = {}
    for event in log.events:
        if event.extends and bank in event.digests:
            extended.setdefault(event.register, []).append(event.digests[bank])

    size = len(next(iter(extended.values()))[0]) if extended else 0
    return {
        register: replay(bank, values, start_of(log, register, size)) for register, values in sorted(extended.items())
    }


def start_of(log: EventLog, register: int, size: int) -> bytes:
    """What a register has at first: only PCR 0 depends on the locality in which the TPM was started."""
    if register == 0 and log.kind is LogKind.TPM:
        return bytes(size - 1) + bytes([log.locality])
    return bytes(size)


def explain(
    log: EventLog, contents: SectionDigests | None = None, cases: Sequence[Case] = (), boot: Boot | None = None
) -> Explanation:
    """Explain a log by an image, or, without one, only by firmware's usual behaviour.

    `boot` has the known circumstances; passed options, the console and the boot method are derived from the log. Of
    `cases`, the one that best fits the log's PCR 11 is used.
    """
    if contents is None:
        return Explanation(None, None, tuple(explain_event(event, None, log) for event in log.events), ())

    prediction, fitting_boot = _fitting(log, contents, cases, boot or Boot())
    items, missing = compare(log, prediction)
    return Explanation(prediction, fitting_boot, items, missing)


def _fitting(log: EventLog, contents: SectionDigests, cases: Sequence[Case], boot: Boot) -> tuple[Prediction, Boot]:
    """The prediction that leaves least of the log unexplained: the case is fitted first, then the boot.

    Options that PCR 12 shows are fitted before those that only PCR 9 confirms, so that few boots have to be tried.
    """
    start = replace(boot, method=_boot_method(log, boot))
    numbers = numbers_in_log(log, (*IMAGE_REGISTERS, *((pcr7.PCR,) if start.policy else ())))
    relevant = replace(log, events=tuple(e for e in log.events if e.extends and e.register in numbers)[:_MAX_SEARCHED])

    first = max(predict_logged(log, contents, cases, start), key=lambda p: (_score(relevant, p), -len(p.events)))

    def best(boots: Iterable[Boot]) -> list[tuple[int, Prediction, Boot]]:
        """The boots that fit best, with their predictions and scores; only a few if nothing fits the log."""
        scored = [
            (_score(relevant, p), p, candidate)
            for candidate in boots
            for p in predict_logged(log, contents, [first.case], candidate)
        ]
        most = max(score for score, _, _ in scored)
        return [item for item in scored if item[0] == most][:_MAX_TEXTS]

    # Each step varies one circumstance of the best candidates so far.
    known = replace(start, secret=False, console=start.console or "")
    candidates = best(_with_texts(relevant, first, known))
    if start.console is None and contents.layout.model.adds_console:
        candidates = best(replace(candidate, console=console) for _, _, candidate in candidates for console in CONSOLES)
    candidates = best(
        replace(candidate, policy=policy) for _, _, candidate in candidates for policy in _policies(boot.policy)
    )
    if start.secret:
        candidates = best(
            replace(candidate, secret=secret) for _, _, candidate in candidates for secret in (False, True)
        )

    _, prediction, candidate = candidates[0]
    return prediction, candidate


def predict_logged(
    log: EventLog, contents: SectionDigests, cases: Sequence[Case], boot: Boot
) -> tuple[Prediction, ...]:
    """The predictions; for a confidential guest, without events that its stub measures only into TPMs."""
    predictions = predict(contents, cases, boot)
    if log.kind is LogKind.TPM:
        return predictions
    return tuple(
        replace(prediction, events=(*boot.configuration, *rtmr.measured(prediction, contents.layout.model)))
        for prediction in predictions
    )


def _boot_method(log: EventLog, boot: Boot) -> BootMethod:
    """Direct if a program was loaded before the firmware announced that it boots: the hypervisor handed it over."""
    register = number_in_log(pcr4.PCR, log.kind)
    for event in log.events:
        if event.register == register and event.type_name == pcr4.APPLICATION:
            return BootMethod.DIRECT
        if event.register == register and event.type_name == "EV_EFI_ACTION":
            return BootMethod.DISK
    return boot.method


def _with_texts(log: EventLog, first: Prediction, boot: Boot) -> Iterator[Boot]:
    """Boots with options that the log's texts suggest; a text counts only if a digest confirms it."""
    bank = first.banks[0]
    known = {event.digests[bank] for event in first.events if event.pcr == pcr12.PCR and event.digests}
    register = number_in_log(pcr12.PCR, log.kind)
    logged = (event for event in log.events if event.register == register and event.type_name == "EV_IPL")
    suggestions = (_options(event) for event in logged if event.digests.get(bank) not in known)
    texts = [text for text in dict.fromkeys(suggestions) if text][:_MAX_TEXTS]

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
    """The options in an event, if its digests confirm that they are what was measured."""
    text = event_data.text(event.data)
    measured = digests(encode(text), [bank for bank in event.digests if bank in SIZES])
    return text if measured and all(event.digests[bank] == value for bank, value in measured.items()) else ""


def _score(log: EventLog, prediction: Prediction) -> int:
    """Explained events, less unexpected and missing ones; undecided events do not count."""
    items, missing = compare(log, prediction)
    explained = sum(item.verdict in {RegisterVerdict.IMAGE, RegisterVerdict.FIRMWARE} for item in items)
    return explained - sum(item.verdict is RegisterVerdict.UNEXPECTED for item in items) - len(missing)


def fits_phases(value: bytes, bank: str, start: bytes, paths: Iterable[str]) -> str | None:
    """The phase path after which a register that holds `start` has `value`; None if no path leads there."""
    for path in paths:
        if replay(bank, pcr11.phase_digests(split_phases(path), bank), start) == value:
            return path
    return None
