"""Machines, and what they select, on standard output."""

from collections.abc import Sequence

from rich.text import Text

from fuki_build.cli.render.plain import plain
from fuki_build.cli.render.tables import add_row, new_console, new_table
from fuki_build.hardware.hand_over_view import HandOverDocument
from fuki_build.hardware.machine_view import MachineDocument
from fuki_build.image.selection_view import HitView, MatchView


def show_machine(machine: MachineDocument) -> None:
    """Strings, then all ids in both dialects, those that the stub tries in its order first."""
    console = new_console()
    console.print(Text(plain(machine.name), style="bold"))

    if machine.strings:
        strings = new_table("String", "Value")
        for key, value in machine.strings.items():
            add_row(strings, key, value)
        console.print(strings)
    else:
        console.print("known by its hardware ids only")

    console.print()
    ids = new_table("Tried", "Type", "systemd-stub", "Microsoft, fwupd", "Made of", right=("Tried", "Type"))
    for row in sorted(machine.chids, key=lambda row: (row.tried or 99, row.type)):
        tried = str(row.tried) if row.tried else "never"
        fields = " + ".join(row.fields)
        add_row(ids, tried, str(row.type), row.stub or "-", row.microsoft or "-", fields)
    console.print(ids)

    if machine.hand_over:
        console.print()
        show_hand_over(machine.hand_over)


def show_hand_over(outcome: HandOverDocument) -> None:
    """What came of handing the firmware over, in a sentence, and what was selected."""
    console = new_console()
    because = f": {outcome.reason.text}" if outcome.reason else ""
    result = f"{outcome.result}: " if outcome.result else ""
    console.print(Text(plain(f"{result}{outcome.text}{because}")), soft_wrap=True)
    if not outcome.fwid:
        return

    table = new_table("Firmware", "Size", "Profile", "Through", "Hardware id", "Options")
    profile, options = f"@{outcome.profile}", ", ".join(outcome.options or ())
    through = f"type {outcome.type}"
    add_row(table, outcome.fwid, str(outcome.size), profile, through, outcome.chid or "", options)
    console.print(table)


def show_matches(matches: Sequence[MatchView], *, measured: bool = False) -> None:
    """One row for each machine and profile; then what is measured there, if asked for."""
    console = new_console()
    table = new_table("Machine", "Profile", "Firmware", "Devicetree", "Through", "Hardware id", "Expected")

    for match in matches:
        hit = match.firmware or match.devicetree
        through = f"type {hit.type} ({hit.name})" if hit else ""
        expected = "" if match.holds is None else "as expected" if match.holds else f"not {match.expected or 'none'}"
        add_row(
            table,
            match.machine,
            "" if match.profile is None else f"@{match.profile}",
            _key(match.firmware),
            _key(match.devicetree),
            through,
            hit.chid if hit else "",
            expected,
        )
    console.print(table)
    if any(match.handed_over for match in matches):
        text = "The image hands firmware over: the second start is on what the machine selects."
        console.print(text, soft_wrap=True)

    for match in matches if measured else ():
        at = "" if match.profile is None else f" booting @{match.profile}"
        names = " ".join(section.name for section in match.measured)
        console.print(f"\n{plain(match.machine)}{at}: PCR 11 gets {plain(names)}", soft_wrap=True)


def _key(hit: HitView | None) -> str:
    if hit is None:
        return "-"
    key = hit.fwid or hit.compatible or ""
    return key if hit.present else f"{key} (not in the image)"
