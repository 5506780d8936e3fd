"""Predictions and event logs on standard output."""

from fuki_build.cli.render.plain import plain
from fuki_build.cli.render.tables import add_row, new_console, new_table
from fuki_build.measure.views import CaseView, PredictionsView

_MAX_MACHINES = 3


def show_predictions(view: PredictionsView, *, events: bool) -> None:
    """A table of register values for each case; with `events`, what they are made of before it."""
    console = new_console()
    for index, case in enumerate(view.predictions):
        if index:
            console.print()
        console.print(plain(_title(case)), style="bold", soft_wrap=True)
        if events:
            made_of = new_table("PCR", "Event", "By", "What", "Source", right=("PCR",))
            for event in case.events:
                what = f"{event.what} (cannot be told: {event.unknown})" if event.unknown else event.what
                add_row(made_of, str(event.pcr), event.type, event.by, what, event.source)
            console.print(made_of)
            console.print()
        values = new_table("PCR", "Phase", "Bank", right=("PCR",))
        values.add_column("Value", overflow="fold")
        for register in case.registers:
            number, phase = str(register.pcr), register.phase or ""
            if register.unknown:
                add_row(values, number, phase, "", f"cannot be told: {register.unknown}")
            for bank, value in register.values.items():
                add_row(values, number, phase, bank, value)
        console.print(values)


def _title(case: CaseView) -> str:
    words = []
    if case.profile is not None:
        words.append(f"profile @{case.profile}" + (f" ({case.profile_id})" if case.profile_id else ""))
    words.append(f"firmware {case.firmware}" if case.firmware else "no firmware")
    if case.devicetree:
        words.append(f"devicetree {case.devicetree}")
    if case.machines:
        shown = ", ".join(case.machines[:_MAX_MACHINES])
        more = len(case.machines) - _MAX_MACHINES
        words.append(f"on {shown}" + (f" and {more} more" if more > 0 else ""))
    return ", ".join(words)
