"""Predictions and event logs on standard output."""

from collections.abc import Iterable, Iterator, Sequence

from fuki_build.cli.render.plain import plain
from fuki_build.cli.render.table import StandardOutput, TextTable
from fuki_build.formats.tcg.event_log import LogKind
from fuki_build.measure.log_policy_views import LogPolicyView
from fuki_build.measure.log_views import FitView, ReplayView, register_name
from fuki_build.measure.rtmr import BANK as RTMR_BANK
from fuki_build.measure.views import CaseView, PredictionsView, RegisterView, RtmrView

_MAX_MACHINES = 3


def show_predictions(view: PredictionsView, *, events: bool) -> None:
    """A table of register values for each case; with `events`, what they are made of before it."""
    console = StandardOutput()

    for index, case in enumerate(view.predictions):
        if index:
            console.print()
        console.print(plain(_title(case)), bold=True)

        if events:
            made_of = TextTable("PCR", "Event", "By", "What", "Source", right=("PCR",), keys=2)
            for event in case.events:
                text = f"{event.what} (cannot be told: {event.unknown})" if event.unknown else event.what
                made_of.add_row(str(event.pcr), event.type, event.by, text, event.source)
            console.table(made_of)
            console.print()

        name = "Register" if case.rtmrs else "PCR"
        _print_values(console, name, _value_rows(case.registers, case.rtmrs))

        if case.first_start:
            console.print()
            console.print("before the hand-over, on the host's firmware", bold=True)
            _print_values(console, name, _value_rows(case.first_start))


def _print_values(console: StandardOutput, name: str, rows: Iterable[tuple[str, str, str, str]]) -> None:
    table = TextTable(name, "Phase", "Bank", "Value", right=(name,), keys=3)
    for row in rows:
        table.add_row(*row)
    console.table(table)


def _value_rows(
    registers: Sequence[RegisterView], rtmrs: Sequence[RtmrView] = ()
) -> Iterator[tuple[str, str, str, str]]:
    """Register, phase, bank and value, or why there is none."""
    for register in registers:
        number, phase = str(register.pcr), register.phase or ""
        if register.unknown:
            yield number, phase, "", f"cannot be told: {register.unknown}"
        for bank, value in register.values.items():
            yield number, phase, bank, value
    for rtmr in rtmrs:
        if rtmr.value is None:
            yield rtmr.name, "", "", f"cannot be told: {rtmr.unknown}"
        else:
            yield rtmr.name, "", RTMR_BANK, rtmr.value


def _title(case: CaseView) -> str:
    words = []
    if case.profile is not None:
        words.append(f"profile @{case.profile}" + (f" ({case.profile_id})" if case.profile_id else ""))
    words.append(f"firmware {case.fwid}" if case.fwid else "no firmware")
    if case.compatible:
        words.append(f"devicetree {case.compatible}")
    if case.machines:
        shown = ", ".join(case.machines[:_MAX_MACHINES])
        more = len(case.machines) - _MAX_MACHINES
        words.append(f"on {shown}" + (f" and {more} more" if more > 0 else ""))
    return ", ".join(words)


def show_replay(view: ReplayView) -> None:
    """Events with their verdicts, registers in one bank, then what the image does not explain and what was expected."""
    console = StandardOutput()
    if view.fit:
        console.print(plain(_fit(view.fit)), bold=True)

    console.table(_explained(view) if view.policy is None else _judged(view, view.policy))
    console.print()

    values = TextTable("Register", "Bank", *(["Predicted"] if view.fit else []), keys=2)
    values.add_column("Value")
    for register in view.registers:
        bank = "sha256" if "sha256" in register.values else next(iter(register.values))
        held = ("yes" if register.holds else "another value") if register.predicted else ""
        values.add_row(register.name, bank, *([held] if view.fit else []), register.values[bank])

    if view.registers:
        console.table(values)
    else:
        console.print(plain(_why_empty(view)))
    if view.registers and view.not_computed:
        console.print(plain(f"not computed: {_named(view.not_computed)}"))

    for reason in view.reasons:
        console.print(plain(f"{register_name(LogKind(view.kind), reason.register)}: {reason.text}"))
    for result in view.expected:
        holds = "as expected" if result.holds else f"not the expected {result.expected}"
        phase = f" after {result.phase}" if result.phase else ""
        name = register_name(LogKind(view.kind), result.register)
        console.print(plain(f"{name} of {result.bank} is {holds}{phase}"))

    if view.policy is not None:
        _print_judgement(console, view.policy)


def _explained(view: ReplayView) -> TextTable:
    events = TextTable("No", "Register", "Event", "By", "Explained by", "What", right=("No",), keys=2)
    for event in view.events:
        name = register_name(LogKind(view.kind), event.register)
        false = " (its digest is of something else)" if event.data_matches is False else ""
        events.add_row(str(event.number), name, event.type, event.by or "", event.verdict, event.what + false)
    for missing in view.missing:
        events.add_row("-", f"PCR {missing.pcr}", missing.type, missing.by, "missing", missing.what)
    return events


def _judged(view: ReplayView, policy: LogPolicyView) -> TextTable:
    events = TextTable("No", "Register", "Event", "What", "Ruling", "Because", right=("No",), keys=2)
    for event, judged in zip(view.events, policy.events, strict=True):
        name = register_name(LogKind(view.kind), event.register)
        events.add_row(str(event.number), name, event.type, event.what, judged.ruling, judged.because)
    return events


def _print_judgement(console: StandardOutput, policy: LogPolicyView) -> None:
    """What would accept the refused events, what is missing, and how many events have which ruling."""
    for judged in policy.events:
        if judged.remedy:
            console.print(
                plain(f"event {judged.number} is refused: {judged.because}; what would accept it: {judged.remedy}")
            )
    for missing in policy.missing:
        console.print(plain(f"missing: {missing}"))
    counts = ", ".join(f"{count} {ruling}" for ruling, count in sorted(policy.counts.items()))
    console.print(plain(f"judged in {policy.bank}: {counts}"))


def _why_empty(view: ReplayView) -> str:
    if view.not_computed:
        return f"no register can be computed: the log has only {_named(view.not_computed)}"
    return "no register was extended: the log has no event that extends one"


def _named(banks: Sequence[str]) -> str:
    return ", ".join(f"the bank {bank}, an algorithm that is not known" for bank in banks)


def _fit(fit: FitView) -> str:
    words = [f"{fit.image} booted {'by the hypervisor' if fit.boot.method == 'direct' else 'from a disk'}"]
    if fit.profile is not None:
        words.append(f"profile @{fit.profile}")
    words.append(f"firmware {fit.fwid}" if fit.fwid else "no firmware")
    if fit.compatible:
        words.append(f"devicetree {fit.compatible}")

    for label, text in (
        ("options", fit.boot.options),
        ("from SMBIOS", fit.boot.smbios_options),
        ("console", fit.boot.console),
    ):
        if text:
            words.append(f"{label} {text!r}")

    return ", ".join(words)
