"""Launch measurements, and firmware images, on standard output."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fuki_build.cli.render.plain import plain
from fuki_build.cli.render.sizes import human_size
from fuki_build.cli.render.table import StandardOutput, TextTable
from fuki_build.hooks.launch import LaunchDigest, LaunchRecord
from fuki_build.image.firmware_view import EntryView, FirmwareFileView, IgvmView, MetadataView, VolumeView

if TYPE_CHECKING:
    from fuki_build.cli.launch_diff import DifferenceView, StepView


def show_launches(records: Sequence[LaunchRecord], handing_over: Sequence[str] = ()) -> None:
    """One row for each digest, then what could not be predicted; `handing_over` are images that start twice."""
    console = StandardOutput()
    table = TextTable(
        "Firmware", "Technology", "VMM", "vCPU model", "vCPUs", "Features", "Boot", "Register", "Digest",
        right=("vCPUs", "Features"), keys=8,
    )  # fmt: skip

    for record in records:
        name = record.firmware + ("" if record.profile is None else f"@{record.profile}")
        for digest in record.prediction.digests:
            table.add_row(name, *_cells(digest))
    console.table(table)

    for record in records:
        for note in record.prediction.notes:
            console.print(f"{plain(record.firmware)}, {note.technology}: {plain(note.message)}")
    for name in handing_over:
        console.print(f"{plain(name)} hands its firmware over: these are launches of its second start.")


def _cells(digest: LaunchDigest) -> list[str]:
    register = f"{digest.register} ({digest.variant})" if digest.variant else digest.register
    return [
        digest.technology,
        digest.vmm or "",
        digest.cpu_model or "",
        "" if digest.vcpus is None else str(digest.vcpus),
        "" if digest.guest_features is None else f"{digest.guest_features:#x}",
        digest.boot or "",
        register,
        digest.digest,
    ]


def show_differences(differences: "Sequence[DifferenceView]") -> None:
    """For each technology, the first step that is not the same on both sides."""
    console = StandardOutput()
    for difference in differences:
        if difference.equal:
            console.print(f"{difference.technology}: the same")
            continue
        console.print(f"{difference.technology}: step {difference.step} is the first that differs")
        for sign, side in (("-", difference.left), ("+", difference.right)):
            console.print(f"  {sign} {_step(side)}")


def _step(step: "StepView | None") -> str:
    if step is None:
        return "nothing"
    text = f"{step.part}: {step.kind} at {step.address:#x}"
    return plain(f"{text}, {step.content}" if step.content else text)


def show_firmware(view: FirmwareFileView) -> None:
    """What it is, then a table for each thing that it has, then what it lacks."""
    console = StandardOutput()
    version = f" {view.version}" if view.version else ""
    title = f"{view.name}: {view.kind}{version}, {human_size(view.size)} ({view.size} bytes)"
    console.print(plain(title), bold=True)
    console.print(f"SHA-256 {view.sha256}")

    if view.flaw:
        console.print(f"flaw: {plain(view.flaw)}")
    if view.reset_vector:
        console.print(f"reset vector {view.reset_vector}")

    _show_entries(console, view.entries)
    for name, rows in (("SEV metadata", view.sev), ("TDX metadata", view.tdx), ("IGVM metadata", view.igvm_metadata)):
        if rows is not None:
            _show_metadata(console, name, rows)
    if view.igvm:
        _show_igvm(console, view.igvm)
    _show_volumes(console, view.volumes)

    if view.missing:
        console.print("\nLacks", bold=True)
    for feature in view.missing:
        console.print(f"  {feature.technology}: {plain(feature.message)}")

    console.print()


def _show_entries(console: StandardOutput, entries: Sequence[EntryView]) -> None:
    table = TextTable("GUID", "Entry", "Data")
    for entry in entries:
        table.add_row(entry.guid, entry.name or "", entry.data)
    if entries:
        _part(console, "Table", table)


def _show_volumes(console: StandardOutput, volumes: Sequence[VolumeView]) -> None:
    table = TextTable("Offset", "Address", "Size", "File system", right=("Offset", "Address", "Size"))
    for volume in volumes:
        at = "" if volume.address is None else f"{volume.address:#x}"
        table.add_row(f"{volume.offset:#x}", at, f"{volume.size:#x}", volume.file_system)
    if volumes:
        _part(console, "Volumes", table)


def _show_metadata(console: StandardOutput, name: str, rows: Sequence[MetadataView]) -> None:
    table = TextTable("Kind", "Address", "Size", "Offset", "In file", right=("Address", "Size", "Offset", "In file"))
    for row in rows:
        offset = "" if row.offset is None or not row.raw_size else f"{row.offset:#x}"
        raw_size = "" if not row.raw_size else f"{row.raw_size:#x}"
        extended = " (measured)" if row.attributes is not None and row.attributes & 1 else ""
        table.add_row(row.kind + extended, f"{row.address:#x}", f"{row.size:#x}", offset, raw_size)
    _part(console, name, table)


def _show_igvm(console: StandardOutput, view: IgvmView) -> None:
    table = TextTable("Platform", "Mask", "VTL", "Headers", right=("Mask", "VTL"))
    for platform in view.platforms:
        headers = ", ".join(f"{count} {name}" for name, count in platform.headers.items())
        table.add_row(platform.platform, f"{platform.mask:#x}", str(platform.highest_vtl), headers)
    _part(console, f"IGVM version {view.version} for {view.arch}", table)


def _part(console: StandardOutput, title: str, table: TextTable) -> None:
    console.print(f"\n{plain(title)}", bold=True)
    console.table(table)
