"""Registers after an update on standard output."""

from fuki_build.cli.render.plain import plain
from fuki_build.cli.render.table import StandardOutput, TextTable
from fuki_build.formats.tcg.event_log import LogKind
from fuki_build.measure.log_views import register_name
from fuki_build.release.update_views import UpdateView


def show_update(view: UpdateView, *, events: bool) -> None:
    """The registers that change, and those that stay; with `events`, what becomes of each event before it."""
    console = StandardOutput()
    console.print(plain(_title(view)), bold=True)

    if events:
        rows = TextTable("Register", "Event", "After the update", "What", keys=2)
        for event in view.events:
            text = f"{event.what} (cannot be told: {event.unknown})" if event.unknown else event.what
            rows.add_row(register_name(LogKind(view.kind), event.register), event.type, event.change, text)
        console.table(rows)
        console.print()

    table = TextTable("Register", "Phase", "Bank", "Changes", "Value after the update", keys=3)
    for register in view.registers:
        changes = "yes" if register.changes else "no"
        if register.unknown:
            table.add_row(register.name, register.phase or "", "", changes, f"cannot be told: {register.unknown}")
        for bank, value in register.values.items():
            table.add_row(register.name, register.phase or "", bank, changes, value)
    console.table(table)


def _title(view: UpdateView) -> str:
    words = [f"{view.image}, after {view.old}" if view.old else view.image]
    if view.profile is not None:
        words.append(f"profile @{view.profile}")
    words.append(f"firmware {view.fwid}" if view.fwid else "no firmware")
    if view.compatible:
        words.append(f"devicetree {view.compatible}")
    return ", ".join(words)
