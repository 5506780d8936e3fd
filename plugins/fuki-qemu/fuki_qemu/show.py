"""Verdicts as a table and as JSON."""

import os
import sys
from collections.abc import Sequence

import click
from fuki_build.errors import FormatError
from fuki_build.formats.uki import hand_over_outcome
from fuki_build.formats.uki.hand_over_outcome import HandOverOutcome
from fuki_build.hooks import Document, View

from fuki_qemu.guest import Ending
from fuki_qemu.host.verdict import StartVerdict
from fuki_qemu.session import Booted
from fuki_qemu.verdict import BootVerdict, VerdictRow

_WIDE = 160
"""Columns where there is no terminal to ask."""
_SHORT = 16
"""Hexadecimal digits of a register that are shown where it is as predicted."""
_SHOWN_BANK = "sha256"
_STYLES = {
    BootVerdict.EQUAL: "green",
    BootVerdict.DIFFERENT: "bold red",
    BootVerdict.MISSING: "bold red",
    BootVerdict.UNKNOWN: "yellow",
}


class HostView(View, frozen=True):
    """A host that takes firmware: through which interface, and whether it is a model of it."""

    interface: str
    model: bool


class BootDocument(Document, frozen=True, kw_only=True):
    """What `fuki boot --json` prints; `compared` is empty where nothing was.

    `fwid` is of the firmware that the machine selects, as predicted; that and `command_line`, which the guest told, are
    null without `--verify`. `hand_over` is what the hand-over program of the last start left; `host` and `starts` are
    told of hosts that take firmware, and `compared` is about the last start.
    """

    image: str
    machine: str
    profile: int | None
    firmware: str
    kvm: bool
    ending: Ending
    reason: str
    seconds: float
    fwid: str | None
    command_line: str | None
    compared: tuple[VerdictRow, ...]
    hand_over: str | None = None
    host: HostView | None = None
    starts: tuple[StartVerdict, ...] = ()


def document(booted: Booted, rows: Sequence[VerdictRow], starts: Sequence[StartVerdict] = ()) -> BootDocument:
    """The result of a boot, with every comparison that was made."""
    case = booted.prediction.case if booted.prediction else None
    outcome = hand_over(booted)

    return BootDocument(
        image=booted.layout.name,
        machine=booted.machine.name,
        profile=booted.profile,
        firmware=booted.firmware.name,
        kvm=booted.kvm,
        ending=booted.outcome.ending,
        reason=booted.outcome.reason,
        seconds=round(booted.outcome.seconds, 1),
        fwid=case.firmware if case else None,
        command_line=booted.report.command_line if booted.report else None,
        compared=tuple(rows),
        hand_over=outcome.result.label if outcome else None,
        host=HostView("vm-launch-update", booted.hosted.settings.is_modelled) if booted.hosted else None,
        starts=tuple(starts),
    )


def hand_over(booted: Booted) -> HandOverOutcome | None:
    """What the hand-over program of the last start left; None where it left nothing that can be read."""
    variable = booted.report.variables.get(hand_over_outcome.NAME) if booted.report else None
    try:
        return None if variable is None else hand_over_outcome.decode(variable)
    except FormatError:
        return None


def print_starts(booted: Booted, starts: Sequence[StartVerdict]) -> None:
    """A line for each start on a host that takes firmware, and its table but for the last one's."""
    if booted.hosted and booted.hosted.settings.is_modelled:
        click.echo("host: a model of vm-launch-update, as this QEMU does not have it")
    for number, start in enumerate(starts, 1):
        click.echo(f"start {number}: on {_printable(start.firmware or 'unknown')} firmware, {start.seconds:.1f} s")
        for row in _shown(start.compared):
            predicted, measured = _cells(row)[1:]
            click.echo(f"  {row.what}: {_printable(measured)}, {row.verdict}", nl=False)
            click.echo(
                "" if row.verdict is BootVerdict.EQUAL else f" (predicted {_printable(predicted)}) {row.difference}"
            )


def print_table(booted: Booted, rows: Sequence[VerdictRow]) -> None:
    """A line for each register and fact; banks that say the same as SHA-256's are left out."""
    from rich.console import Console  # noqa: PLC0415 - slow to load
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    plain = not sys.stdout.isatty() or "NO_COLOR" in os.environ
    console = Console(width=None if sys.stdout.isatty() else _WIDE, no_color=plain, highlight=False, markup=False)
    case = booted.prediction.case if booted.prediction else None
    selects = f", selects {case.firmware}" if case and case.firmware else ""
    title = f"{booted.layout.name} on {booted.machine.name}{selects}: {booted.outcome.seconds:.1f} s"
    console.print(Text(_printable(title)))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("Register", "Predicted", "Measured", "Verdict"):
        table.add_column(column, overflow="fold")
    for row in _shown(rows):
        table.add_row(*(Text(_printable(text)) for text in _cells(row)), Text(row.verdict, _STYLES[row.verdict]))
    console.print(table)
    for row in _shown(rows):
        if row.difference:
            console.print(Text(_printable(f"{row.what}: {row.difference}")))


def print_hand_over(booted: Booted) -> None:
    """What the hand-over program says of itself, as `fuki hand-over status` would in the guest."""
    outcome = hand_over(booted)
    if outcome is not None:
        because = f": {outcome.reason_text}" if outcome.reason else ""
        click.echo(f"{outcome.result.label}: {hand_over_outcome.RESULTS[outcome.result]}{because}")


def _shown(rows: Sequence[VerdictRow]) -> list[VerdictRow]:
    """Of a register's banks one, and those whose verdict is another."""
    seen: set[tuple[str, BootVerdict]] = set()
    shown = []
    for row in sorted(rows, key=lambda row: row.bank not in {"", _SHOWN_BANK}):
        if not row.bank or (row.what, row.verdict) not in seen:
            seen.add((row.what, row.verdict))
            shown.append(row)
    order = list(dict.fromkeys(row.what for row in rows))
    return sorted(shown, key=lambda row: order.index(row.what))


def _cells(row: VerdictRow) -> tuple[str, str, str]:
    name = row.what if row.bank in {"", _SHOWN_BANK} else f"{row.what} ({row.bank})"
    if row.bank and row.verdict is BootVerdict.EQUAL:
        return name, *(f"{(text or '')[:_SHORT]}…" for text in (row.predicted, row.measured))  # type: ignore[return-value]
    return name, row.predicted or "-", row.measured or "-"


def _printable(text: str) -> str:
    """What a guest says may hold control characters."""
    return "".join(c if c.isprintable() else "�" for c in text)
