"""What was predicted held against what was measured."""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from hashlib import new

from fuki_build import Layout, Machine, Prediction
from fuki_build.errors import FormatError
from fuki_build.formats.hardware import smbios
from fuki_build.formats.tcg import event_data, event_log
from fuki_build.formats.tcg.event_log import EventLog, LoggedEvent
from msgspec import Struct

from fuki_qemu.report import GuestReport, variable_text
from fuki_qemu.smbios import IMITATED


class BootVerdict(StrEnum):
    EQUAL = "equal"
    DIFFERENT = "different"
    UNKNOWN = "unknown"
    """It could not be predicted."""
    MISSING = "missing"
    """The guest told nothing of it."""


class VerdictRow(Struct, frozen=True, kw_only=True, rename="kebab"):
    """One thing that was compared. `bank` is empty for what is no register.

    `difference` tells of the first event that differs, or why there is no verdict.
    """

    what: str
    bank: str
    predicted: str | None
    measured: str | None
    verdict: BootVerdict
    difference: str = ""


def compare(layout: Layout, machine: Machine, prediction: Prediction, report: GuestReport) -> tuple[VerdictRow, ...]:
    """Everything that was predicted, register by register and bank by bank, then facts of the guest."""
    rows = compare_registers(prediction, report)
    return (*rows, _machine(machine, report), *_variables(layout, prediction, report))


def compare_registers(prediction: Prediction, report: GuestReport) -> tuple[VerdictRow, ...]:
    """The registers that were predicted, in each bank that the guest has."""
    log = _decode(report.log)
    banks = [bank for bank in prediction.banks if bank in report.registers]

    rows = [_register(pcr, bank, prediction, report, log) for pcr in prediction.registers for bank in banks]
    if not rows:
        rows.append(
            VerdictRow(
                what="registers",
                bank="",
                predicted=None,
                measured=None,
                verdict=BootVerdict.MISSING,
                difference="the guest has no TPM that it could read",
            )
        )
    if isinstance(log, EventLog) and log.flaw:
        flaw = f"it is damaged behind its first {log.end} bytes: {log.flaw}"
        rows.append(
            VerdictRow(
                what="event log", bank="", predicted=None, measured=None, verdict=BootVerdict.DIFFERENT, difference=flaw
            )
        )

    return tuple(rows)


def _decode(data: bytes | None) -> EventLog | FormatError | None:
    try:
        return None if data is None else event_log.decode(data)
    except FormatError as error:
        return error


def _register(
    pcr: int, bank: str, prediction: Prediction, report: GuestReport, log: EventLog | FormatError | None
) -> VerdictRow:
    value = prediction.value(pcr, bank)
    measured = report.registers[bank].get(pcr)
    row = VerdictRow(
        what=f"PCR {pcr}", bank=bank, predicted=_hex(value), measured=_hex(measured), verdict=BootVerdict.EQUAL
    )
    if measured is None:
        return _with(row, BootVerdict.MISSING, "the guest did not tell")

    if not isinstance(log, EventLog):
        why = "the guest has no event log" if log is None else f"the event log is damaged: {log.message}"
        verdict = (
            BootVerdict.UNKNOWN if value is None else BootVerdict.EQUAL if value == measured else BootVerdict.DIFFERENT
        )
        return _with(row, verdict, "" if verdict is BootVerdict.EQUAL else why)

    events = [event for event in log.events if event.extends and event.register == pcr]
    difference = _first_difference(pcr, bank, prediction, events)

    if value is None:
        return _with(
            row, BootVerdict.DIFFERENT if difference else BootVerdict.UNKNOWN, difference or prediction.unknown(pcr)
        )
    if value == measured:
        return row
    return _with(row, BootVerdict.DIFFERENT, difference or _beside_log(bank, events, measured))


def _with(row: VerdictRow, verdict: BootVerdict, difference: str) -> VerdictRow:
    return VerdictRow(
        what=row.what,
        bank=row.bank,
        predicted=row.predicted,
        measured=row.measured,
        verdict=verdict,
        difference=difference,
    )


def _hex(value: bytes | None) -> str | None:
    return None if value is None else value.hex()


def _first_difference(pcr: int, bank: str, prediction: Prediction, events: Sequence[LoggedEvent]) -> str:
    """The first event that is not as predicted, in words; empty where all are that can be told."""
    expected = [event for event in prediction.events if event.pcr == pcr]
    for index in range(max(len(expected), len(events))):
        number = f"event {index + 1}"
        if index >= len(expected):
            return f"{number} was not predicted: {_words(events[index])}"
        if index >= len(events):
            return f"{number} did not come: {expected[index].what}"
        if not expected[index].unknown and expected[index].digests[bank] != events[index].digests.get(bank):
            return f"{number} was to be {expected[index].what}, and is {_words(events[index])}"
    return ""


def _words(event: LoggedEvent) -> str:
    return f"{event.type_name} ({event_data.describe(event)})"


def _beside_log(bank: str, events: Sequence[LoggedEvent], measured: bytes) -> str:
    register = bytes(len(measured))
    for event in events:
        register = new(bank, register + event.digests.get(bank, b""), usedforsecurity=False).digest()
    told = "is what the log tells" if register == measured else "is not what the log tells"
    return f"each event is as predicted, and the register {told}"


def _machine(machine: Machine, report: GuestReport) -> VerdictRow:
    """The SMBIOS strings that the guest was to have, of those that it can be given."""
    strings = {field: getattr(machine, field) for field in IMITATED}
    # QEMU's firmware fills in what the machine lacks of the BIOS's strings.
    strings = {field: text for field, text in strings.items() if text or not field.startswith("bios_")}

    row = VerdictRow(what="SMBIOS", bank="", predicted=machine.name, measured=None, verdict=BootVerdict.EQUAL)
    if report.smbios is None:
        return _with(row, BootVerdict.MISSING, "the guest did not tell")

    try:
        identity = smbios.identity(report.smbios)
    except FormatError as error:
        return _with(row, BootVerdict.DIFFERENT, error.message)

    wrong = [
        f"{field.replace('_', ' ')} is {identity.get(field, '')!r} and not {text!r}"
        for field, text in strings.items()
        if identity.get(field, "") != text
    ]

    measured = " ".join(
        smbios.readable(identity[field]) for field in ("manufacturer", "product") if identity.get(field)
    )
    row = VerdictRow(what=row.what, bank="", predicted=row.predicted, measured=measured, verdict=row.verdict)
    return _with(row, BootVerdict.DIFFERENT, "; ".join(wrong)) if wrong else row


def _variables(layout: Layout, prediction: Prediction, report: GuestReport) -> Iterator[VerdictRow]:
    """What the stub tells in EFI variables; kernels may lack the driver that reads them."""
    expected = {"StubProfile": str(prediction.case.profile or 0)}
    if layout.stub is not None:
        expected["StubInfo"] = f"{layout.stub.program} {layout.stub.version}"

    for name, text in sorted(expected.items()):
        if name in report.variables:
            guest_text = variable_text(report.variables[name])
            verdict = BootVerdict.EQUAL if guest_text == text else BootVerdict.DIFFERENT
            yield VerdictRow(
                what=name,
                bank="",
                predicted=text,
                measured=guest_text,
                verdict=verdict,
                difference="" if guest_text == text else "the stub says so",
            )


def is_mismatch(rows: Sequence[VerdictRow]) -> bool:
    """Whether something differs, or nothing that was predicted could be compared."""
    return any(row.verdict in {BootVerdict.DIFFERENT, BootVerdict.MISSING} for row in rows)
