"""Event logs as plain, typed values: the form that `fuki replay --json` shows."""

from collections.abc import Mapping, Sequence

from fuki_build.formats.documents import Document, View
from fuki_build.formats.hashes import SIZES
from fuki_build.formats.tcg.event_log import EventLog, LogKind
from fuki_build.image.layout import Layout
from fuki_build.measure import rtmr
from fuki_build.measure.boot import Boot
from fuki_build.measure.events import in_hex
from fuki_build.measure.explain import Explanation, registers
from fuki_build.measure.log_comparison import Explained
from fuki_build.measure.log_policy_views import LogPolicyView
from fuki_build.measure.predict import Prediction
from fuki_build.measure.registers import Digests
from fuki_build.measure.views import BootView, EventView, boot_view, event_view


class LoggedView(View, frozen=True, kw_only=True):
    """One event of a log. `data-matches` tells whether the digests are those of the event's data.

    It is null where the data is not what is measured: then the log's description of the event is no evidence. `by` is
    the program that extended the register, as far as register, type and content tell; null if none did.
    """

    number: int
    register: int
    type: str
    by: str | None
    verdict: str
    what: str
    data: str
    data_matches: bool | None
    digests: Mapping[str, str]


class ReplayedView(View, frozen=True):
    """A register's values by bank, in hex, from replaying the log.

    `predicted` has the image's values for the boot that fits best, as far as they can be predicted.
    """

    register: int
    name: str
    values: Mapping[str, str]
    predicted: Mapping[str, str]

    @property
    def holds(self) -> bool:
        """Whether the values agree with all predicted ones."""
        return all(self.values.get(bank) == value for bank, value in self.predicted.items())


class FitView(View, frozen=True, kw_only=True):
    """The case and boot of the image that best fit the log."""

    image: str
    profile: int | None
    fwid: str | None
    compatible: str | None
    boot: BootView


class ReasonView(View, frozen=True):
    register: int
    text: str


class ExpectedView(View, frozen=True, kw_only=True):
    """An expected value; `phase` is the path of boot phases after which the register has it."""

    register: int
    bank: str
    expected: str
    value: str
    holds: bool
    phase: str | None


class ReplayView(Document, frozen=True, kw_only=True):
    """A replayed log. `not-computed` are those of its banks whose algorithm is not known, by their numbers.

    Where the log is damaged or cut short, `flaw` says how, else it is null; `end` is the offset, in bytes, after the
    last intact event.
    """

    kind: str
    crypto_agile: bool
    banks: Sequence[str]
    not_computed: Sequence[str]
    flaw: str | None
    end: int
    registers: Sequence[ReplayedView]
    fit: FitView | None
    events: Sequence[LoggedView]
    missing: Sequence[EventView]
    reasons: Sequence[ReasonView]
    expected: Sequence[ExpectedView]
    policy: LogPolicyView | None


def replay_view(
    log: EventLog,
    explanation: Explanation,
    image: Layout | None,
    reasons: Sequence[tuple[int, str]],
    expected: Sequence[ExpectedView],
    policy: LogPolicyView | None = None,
) -> ReplayView:
    prediction, boot = explanation.prediction, explanation.boot

    fit = None
    predicted: Mapping[int, Digests] = {}
    if image is not None and prediction is not None and boot is not None:
        case = prediction.case
        predicted = _predicted(log.kind, prediction, boot, image)
        fit = FitView(
            image=image.where or image.name,
            profile=case.profile,
            fwid=case.firmware,
            compatible=case.devicetree,
            boot=boot_view(boot),
        )

    return ReplayView(
        kind=log.kind.value,
        crypto_agile=log.crypto_agile,
        banks=log.banks,
        not_computed=[bank for bank in log.banks if bank not in SIZES],
        flaw=log.flaw or None,
        end=log.end,
        registers=_registers(log, predicted),
        fit=fit,
        events=[_event(number, item) for number, item in enumerate(explanation.events)],
        missing=[event_view(event) for event in explanation.missing],
        reasons=[ReasonView(register, text) for register, text in dict.fromkeys(reasons)],
        expected=expected,
        policy=policy,
    )


def register_name(kind: LogKind, register: int) -> str:
    """`PCR 4` for a TPM; `MRTD`, `RTMR0` and so on for a confidential guest."""
    if kind is LogKind.TPM:
        return f"PCR {register}"
    return "MRTD" if register == 0 else f"RTMR{register - 1}"


def _predicted(kind: LogKind, prediction: Prediction, boot: Boot, layout: Layout) -> Mapping[int, Digests]:
    """The values of registers, by the log's numbers, that can be predicted."""
    if kind is LogKind.CC:
        registers_of_guest = rtmr.rtmrs(prediction, boot, layout) if rtmr.BANK in prediction.banks else ()
        return {
            register.number + 1: {rtmr.BANK: register.value}
            for register in registers_of_guest
            if register.value is not None
        }

    values = {pcr: {bank: prediction.value(pcr, bank) for bank in prediction.banks} for pcr in prediction.registers}
    return {
        pcr: {bank: value for bank, value in values_by_bank.items() if value is not None}
        for pcr, values_by_bank in values.items()
    }


def _registers(log: EventLog, predicted: Mapping[int, Digests]) -> list[ReplayedView]:
    values = {bank: registers(log, bank) for bank in log.banks if bank in SIZES}
    numbers = sorted({number for replayed in values.values() for number in replayed})

    return [
        ReplayedView(
            number,
            register_name(log.kind, number),
            {bank: replayed[number].hex() for bank, replayed in values.items() if number in replayed},
            in_hex(predicted.get(number, {})),
        )
        for number in numbers
    ]


def _event(number: int, item: Explained) -> LoggedView:
    event = item.event
    return LoggedView(
        number=number,
        register=event.register,
        type=event.type_name,
        by=None if item.by is None else item.by.value,
        verdict=item.verdict.value,
        what=item.what,
        data=event.data[:1024].hex(),
        data_matches=item.data_matches,
        digests=in_hex(event.digests),
    )
