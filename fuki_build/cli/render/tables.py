"""Layouts and plugins on standard output."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fuki_build.cli.render.plain import plain
from fuki_build.cli.render.sizes import human_size
from fuki_build.cli.render.table import StandardOutput, TextTable
from fuki_build.cli.render.words import fold
from fuki_build.image.describe import DeviceView, FirmwareView, LayoutView, SectionView

if TYPE_CHECKING:
    from fuki_build.cli.plugins import PluginView

_ANY_WIDTH = 1000


def show_view(view: LayoutView) -> None:
    """The sections, then what the image says of firmware, machines, SBAT and signatures."""
    console = StandardOutput()
    stub = f"{view.stub.program} {view.stub.version}" if view.stub else "no known stub"
    title = f"{view.name}: {view.kind} for {view.arch}, {stub}, {human_size(view.file_size)} ({view.file_size} bytes)"
    console.print(plain(title), bold=True)

    # A terminal is too narrow for digests beside the rest; a pipe gets each section in one line.
    apart = console.width is not None and any(section.sha256 for section in view.sections)
    console.table(_sections(view.sections, {p.number: p.id for p in view.profiles}, with_digest=not apart))
    console.print(f"{view.header_slots_left} section headers left")
    if apart:
        console.print()
        console.table(_digests(view.sections))

    if view.firmware:
        console.print()
        console.table(_firmware(view.firmware))
    if view.devices:
        console.print()
        console.table(_devices(view.devices))

    if view.sbat:
        console.print("\nSBAT", bold=True)
        for line in view.sbat[1:]:
            console.print(f"  {plain(line)}")

    _show_signatures(console, view)
    for flaw in view.flaws:
        console.print(f"flaw: {plain(flaw)}")

    console.print()


def _show_signatures(console: StandardOutput, view: LayoutView) -> None:
    if view.kind != "addon" and view.signatures:
        console.print("\nSignatures", bold=True)
    for signature in view.signatures:
        kind = "Authenticode" if signature.authenticode else "of another kind"
        by = f" by {plain(signature.signer)} over {signature.algorithm}" if signature.signer else ""
        console.print(f"  {kind}{by}, {signature.size} bytes at {signature.offset:#x}")

    if view.authenticode:
        console.print()
        for line in fold(f"Authenticode SHA-256 {view.authenticode}", console.width or _ANY_WIDTH):
            console.print(line)


def _digests(sections: Sequence[SectionView]) -> TextTable:
    table = TextTable("Section", "SHA-256")
    for section in sections:
        at = "" if section.profile is None else f"@{section.profile}"
        table.add_row(section.name + at, section.sha256 or "")
    return table


def _sections(sections: Sequence[SectionView], profiles: dict[int, str | None], *, with_digest: bool) -> TextTable:
    """A finished image has no sources to show, a planned one no digests."""
    table = TextTable(
        "Profile", "Section", "Address", "Offset", "Size", "Share", "Measured", "What",
        right=("Address", "Offset", "Size", "Share"), keys=2,
    )  # fmt: skip

    with_source = any(section.source for section in sections)
    with_digest = with_digest and any(section.sha256 for section in sections)
    if with_source:
        table.add_column("Source")
    if with_digest:
        table.add_column("SHA-256")

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
        table.add_row(*row, *[section.source] * with_source, *[section.sha256 or ""] * with_digest)
        before = section.profile
    return table


def _shorten(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _firmware(images: Sequence[FirmwareView]) -> TextTable:
    table = TextTable("Firmware", "Profile", "Kind", "Has", "Size", "Hardware ids", right=("Size", "Hardware ids"))
    for image in images:
        has = ", ".join(image.features) + (f" (flaw: {image.flaw})" if image.flaw else "")
        kind = f"{image.kind} {image.version}" if image.version else image.kind
        at = "" if image.profile is None else f"@{image.profile}"
        table.add_row(image.fwid or "?", at, kind, has, human_size(image.size), str(len(image.chids)))
    return table


def _devices(devices: Sequence[DeviceView]) -> TextTable:
    """The hardware ids; their types where the machines are known, as in a plan."""
    typed = any(kind is not None for device in devices for kind in device.types)
    table = TextTable("Machine", "Profile", "Selects", "Hardware id", *["Type"] * typed, right=("Type",))

    for device in devices:
        at = "" if device.profile is None else f"@{device.profile}"
        missing = "" if device.present else " (not in the image)"
        for index, (chid, kind) in enumerate(zip(device.chids, device.types, strict=True)):
            row = (
                (device.name, at, f"{device.type} {device.fwid or device.compatible}{missing}")
                if index == 0
                else ("", "", "")
            )
            table.add_row(*row, chid, *["" if kind is None else str(kind)] * typed)
    return table


def show_plugins(plugins: "Sequence[PluginView]") -> None:
    console = StandardOutput()
    table = TextTable("Plugin", "Distribution", "Version", "State", "Gives")
    for plugin in plugins:
        gives = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in plugin.gives.items())
        table.add_row(plugin.name, plugin.distribution, plugin.version, plugin.state, plugin.error or gives)
    console.table(table)
