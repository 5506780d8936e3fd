"""Actions as tables."""

from fuki_build.cli.render.plain import plain
from fuki_build.cli.render.sizes import human_size
from fuki_build.cli.render.table import StandardOutput, TextTable
from fuki_build.emit.hermetic import HermeticDocument


def show_actions(document: HermeticDocument) -> None:
    """The inputs of all cells, then what each writes and needs."""
    console = StandardOutput()
    files = {item.path: item for cell in document.cells for item in cell.inputs}
    counts = {path: sum(any(i.path == path for i in cell.inputs) for cell in document.cells) for path in files}
    table = TextTable("Input", "Size", "Cells", "SHA-256", right=("Size", "Cells"))
    for path, item in sorted(files.items()):
        table.add_row(path, human_size(item.size), str(counts[path]), item.sha256)
    console.table(table)
    console.print()

    table = TextTable("Cell", "Output", "Format", "Needs")
    for cell in document.cells:
        needs = ", ".join(f"{need.kind} {need.name}" for need in cell.needs)
        for index, output in enumerate(cell.outputs):
            table.add_row(cell.id if index == 0 else "", output.path, output.format, needs if index == 0 else "")
    console.table(table)
    console.print(plain(f"{len(files)} files, {human_size(sum(item.size for item in files.values()))}"))
