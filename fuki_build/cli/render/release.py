"""What stands between two releases, on standard output."""

from fuki_build.cli.render.launch import show_launches
from fuki_build.cli.render.measure import show_predictions
from fuki_build.cli.render.plain import plain
from fuki_build.cli.render.table import StandardOutput, TextTable
from fuki_build.hooks.launch import from_document
from fuki_build.release.compare import ReleaseDocument
from fuki_build.release.objections import Objection

_MAX_MACHINES = 3


def show_release(document: ReleaseDocument) -> None:
    """Both images, the reasons against the new one, a line each, and without any what to learn and to revoke."""
    console = StandardOutput()
    table = TextTable("", "Image", "System", "Version", "Signature", "Authenticode SHA-256")
    for name, image in (("old", document.old), ("new", document.new)):
        told = (image.system or "", image.image_version or "")
        table.add_row(name, image.image, *told, image.signature, image.authenticode)
    console.table(table)

    if document.objections:
        console.print()
        console.print("Against it", bold=True)
    for objection in document.objections:
        console.print(plain(_line(objection)))
    if any(not objection.allowed for objection in document.objections):
        return

    _show_values(console, document)

    console.print()
    console.print("After: revoke the old image", bold=True)
    for line in document.after.sbat_level:
        console.print(f"SBAT level  {plain(line)}")
    if not document.after.sbat_level:
        console.print("SBAT level  none: no generation rises")
    for digest in document.after.dbx:
        console.print(f"dbx         {digest}")


def _show_values(console: StandardOutput, document: ReleaseDocument) -> None:
    for when, view in zip(("old", "new"), document.before, strict=True):
        console.print()
        console.print(f"Before: learn what the {when} image measures", bold=True)
        show_predictions(view, events=False)

    for when, launches in zip(("old", "new"), document.launches, strict=False):
        console.print()
        console.print(f"Before: learn what guests measure at launch with the {when} image", bold=True)
        show_launches(from_document(launches))
        for note in launches.notes:
            console.print(f"{plain(note.firmware)}, {note.technology}: {plain(note.message)}")


def _line(objection: Objection) -> str:
    shown = ", ".join(objection.machines[:_MAX_MACHINES])
    more = len(objection.machines) - _MAX_MACHINES
    machines = f" ({shown}{f' and {more} more' if more > 0 else ''})" if shown else ""
    return f"{objection.id}{' (allowed)' if objection.allowed else ''}: {objection.message}{machines}"
