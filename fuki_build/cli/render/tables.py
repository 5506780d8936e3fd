"""Tables on standard output."""

import sys
from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fuki_build.cli.render import colour
from fuki_build.cli.render.plain import plain
from fuki_build.cli.render.sizes import human_size
from fuki_build.image.describe import DeviceView, FirmwareView, LayoutView, SectionView

if TYPE_CHECKING:
    from fuki_build.cli.plugins import PluginView

_NARROW = 48
"""Columns that the last column of a table needs, to be folded alone."""
_WIDE = 160
"""Columns where there is no terminal to ask."""


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave the answer to the command line, which has one for all output."""
        raise  # noqa: PLE0704 - rich calls this while it handles the error


def new_console() -> Console:
    width = None if sys.stdout.isatty() else _WIDE
    return _Console(width=width, color_system=colour.system(sys.stdout), highlight=False, markup=False, emoji=False)


def new_table(*columns: str, right: Sequence[str] = ()) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", collapse_padding=True)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return table


def add_row(table: Table, *cells: str) -> None:
    table.add_row(*map(plain, cells))


def print_rows(console: Console, columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str]) -> None:
    """Print a table whose last column is folded at words.

    Rich measures and folds every cell several times, which takes seconds for the thousands of short cells that
    predictions have: those are laid out here, others are left to rich.
    """
    cells = [[plain(cell) for cell in row] for row in rows]
    widths = [max(len(row[index]) for row in (columns, *cells)) for index in range(len(columns) - 1)]
    room = console.width - sum(widths) - len(widths)
    if room < _NARROW or not all(cell.isascii() for row in cells for cell in row):
        table = new_table(*columns, right=right)
        for row in cells:
            table.add_row(*row)
        console.print(table)
        return

    def line(first: Sequence[str], last: str) -> str:
        padded = (
            cell.rjust(width) if name in right else cell.ljust(width)
            for name, cell, width in zip(columns, first, widths, strict=False)
        )
        return " ".join((*padded, last)).rstrip()

    lines = []
    for *first, last in cells:
        head, *folded = wrap(last, room, break_on_hyphens=False) or [""]
        lines.append(line(first, head))
        lines += [line([""] * len(first), piece) for piece in folded]
    console.print(Text(line(columns[:-1], columns[-1]), style="bold"), soft_wrap=True)
    console.out("\n".join(lines), highlight=False)


def show_view(view: LayoutView) -> None:
    """The sections, then what the image says of firmware, machines, SBAT and signatures."""
    console = new_console()
    stub = f"{view.stub.program} {view.stub.version}" if view.stub else "no known stub"
    title = f"{view.name}: {view.kind} for {view.arch}, {stub}, {human_size(view.file_size)} ({view.file_size} bytes)"
    console.print(Text(plain(title), style="bold"))

    console.print(_sections(view.sections, {p.number: p.id for p in view.profiles}))
    console.print(f"{view.header_slots_left} section headers left")

    if view.firmware:
        console.print()
        console.print(_firmware(view.firmware))
    if view.devices:
        console.print()
        console.print(_devices(view.devices))

    if view.sbat:
        console.print(Text("\nSBAT", style="bold"))
        for line in view.sbat[1:]:
            console.print(f"  {plain(line)}", overflow="fold")

    if view.kind != "addon" and view.signatures:
        console.print(Text("\nSignatures", style="bold"))
    for signature in view.signatures:
        kind = "Authenticode" if signature.authenticode else "of another kind"
        by = f" by {plain(signature.signer)} over {signature.algorithm}" if signature.signer else ""
        console.print(f"  {kind}{by}, {signature.size} bytes at {signature.offset:#x}", soft_wrap=True)

    if view.authenticode:
        console.print(f"\nAuthenticode SHA-256 {view.authenticode}")
    for flaw in view.flaws:
        console.print(f"flaw: {plain(flaw)}")

    console.print()


def _sections(sections: Sequence[SectionView], profiles: dict[int, str | None]) -> Table:
    """A finished image has no sources to show, a planned one no digests."""
    table = new_table(
        "Profile", "Section", "Address", "Offset", "Size", "Share", "Measured", "What",
        right=("Address", "Offset", "Size", "Share"),
    )  # fmt: skip

    with_source = any(section.source for section in sections)
    with_digest = any(section.sha256 for section in sections)
    if with_source:
        table.add_column("Source", overflow="fold")
    if with_digest:
        table.add_column("SHA-256", no_wrap=True)

    before: int | None = None
    for section in sections:
        name = "" if section.profile is None else f"@{section.profile} {profiles.get(section.profile) or ''}"
        row = [
            name if section.profile != before else "",
            section.name,
            f"{section.address:#x}",
            f"{section.offset:#x}",
            human_size(section.size),
            f"{section.share:.1%}",
            section.measured,
            _shorten(section.what),
        ]
        add_row(table, *row, *[section.source] * with_source, *[section.sha256 or ""] * with_digest)
        before = section.profile
    return table


def _shorten(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _firmware(images: Sequence[FirmwareView]) -> Table:
    table = new_table("Firmware", "Profile", "Kind", "Has", "Size", "Hardware ids", right=("Size", "Hardware ids"))
    for image in images:
        has = ", ".join(image.features) + (f" (flaw: {image.flaw})" if image.flaw else "")
        kind = f"{image.kind} {image.version}" if image.version else image.kind
        at = "" if image.profile is None else f"@{image.profile}"
        add_row(table, image.fwid or "?", at, kind, has, human_size(image.size), str(len(image.chids)))
    return table


def _devices(devices: Sequence[DeviceView]) -> Table:
    """The hardware ids; their types where the machines are known, as in a plan."""
    typed = any(kind is not None for device in devices for kind in device.types)
    table = new_table("Machine", "Profile", "Selects", "Hardware id", *["Type"] * typed, right=("Type",))

    for device in devices:
        at = "" if device.profile is None else f"@{device.profile}"
        missing = "" if device.present else " (not in the image)"
        for index, (chid, kind) in enumerate(zip(device.chids, device.types, strict=True)):
            row = (
                (device.name, at, f"{device.type} {device.fwid or device.compatible}{missing}")
                if index == 0
                else ("", "", "")
            )
            add_row(table, *row, chid, *["" if kind is None else str(kind)] * typed)
    return table


def show_plugins(plugins: "Sequence[PluginView]") -> None:
    console = new_console()
    table = new_table("Plugin", "Distribution", "Version", "State", "Gives")
    for plugin in plugins:
        gives = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in plugin.gives.items())
        add_row(table, plugin.name, plugin.distribution, plugin.version, plugin.state, plugin.error or gives)
    console.print(table)
