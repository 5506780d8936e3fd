"""Machines, and what they select, on standard output."""

from collections.abc import Sequence

from fuki_build.cli.render.plain import plain
from fuki_build.cli.render.table import StandardOutput, TextTable
from fuki_build.hardware.hand_over_view import HandOverDocument
from fuki_build.hardware.machine_view import MachineDocument
from fuki_build.image.selection_view import HitView, MatchView


def show_machine(machine: MachineDocument) -> None:
    """Strings, then all ids in both dialects, those that the stub tries in its order first."""
    console = StandardOutput()
    console.print(plain(machine.name), bold=True)

    if machine.strings:
        strings = TextTable("String", "Value")
        for key, value in machine.strings.items():
            strings.add_row(key, value)
        console.table(strings)
    else:
        console.print("known by its hardware ids only")

    console.print()
    ids = TextTable("Tried", "Type", "systemd-stub", "Microsoft, fwupd", "Made of", right=("Tried", "Type"), keys=2)
    for row in sorted(machine.chids, key=lambda row: (row.tried or 99, row.type)):
        tried = str(row.tried) if row.tried else "never"
        fields = " + ".join(row.fields)
        ids.add_row(tried, str(row.type), row.stub or "-", row.microsoft or "-", fields)
    console.table(ids)

    if machine.hand_over:
        console.print()
        show_hand_over(machine.hand_over)


def show_hand_over(outcome: HandOverDocument) -> None:
    """What came of handing the firmware over, in a sentence, and what was selected."""
    console = StandardOutput()
    because = f": {outcome.reason.text}" if outcome.reason else ""
    result = f"{outcome.result}: " if outcome.result else ""
    console.print(plain(f"{result}{outcome.text}{because}"))
    if not outcome.fwid:
        return

    table = TextTable("Firmware", "Size", "Profile", "Through", "Hardware id", "Options")
    profile, options = f"@{outcome.profile}", ", ".join(outcome.options or ())
    through = f"type {outcome.type}"
    table.add_row(outcome.fwid, str(outcome.size), profile, through, outcome.chid or "", options)
    console.table(table)


def show_matches(matches: Sequence[MatchView], *, measured: bool = False) -> None:
    """One row for each machine and profile; then what is measured there, if asked for."""
    console = StandardOutput()
    table = TextTable("Machine", "Profile", "Firmware", "Devicetree", "Through", "Hardware id", "Expected", keys=2)

    for match in matches:
        hit = match.firmware or match.devicetree
        through = f"type {hit.type} ({hit.name})" if hit else ""
        expected = "" if match.holds is None else "as expected" if match.holds else f"not {match.expected or 'none'}"
        table.add_row(
            match.machine,
            "" if match.profile is None else f"@{match.profile}",
            _key(match.firmware),
            _key(match.devicetree),
            through,
            hit.chid if hit else "",
            expected,
        )
    console.table(table)
    if any(match.handed_over for match in matches):
        text = "The image hands firmware over: the second start is on what the machine selects."
        console.print(text)

    for match in matches if measured else ():
        at = "" if match.profile is None else f" booting @{match.profile}"
        names = " ".join(section.name for section in match.measured)
        console.print(f"\n{plain(match.machine)}{at}: PCR 11 gets {plain(names)}")


def _key(hit: HitView | None) -> str:
    if hit is None:
        return "-"
    key = hit.fwid or hit.compatible or ""
    return key if hit.present else f"{key} (not in the image)"
