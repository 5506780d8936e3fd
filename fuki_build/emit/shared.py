"""What the cells of a matrix have in common."""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from fuki_build.emit.plan import CellPlan, Plan
from fuki_build.image.blob import FilePart


class SharedInput(Struct, frozen=True):
    """A file, or the part of one, that goes into images as it is, and the ids of the cells that have it."""

    part: FilePart
    cells: tuple[str, ...]


def shared_inputs(cells: Sequence[CellPlan]) -> tuple[SharedInput, ...]:
    """What is read for the images of these cells; what most have in common comes first, and the largest of it."""
    holders: dict[FilePart, list[str]] = {}
    for cell in cells:
        if cell.plan is not None:
            for part in dict.fromkeys(_parts(cell.plan)):
                holders.setdefault(part, []).append(cell.loaded.cell_id or "")
    inputs = [SharedInput(part, tuple(ids)) for part, ids in holders.items()]
    return tuple(sorted(inputs, key=lambda item: (-len(item.cells), -item.part.size, str(item.part.path))))


def _parts(plan: Plan) -> Iterator[FilePart]:
    for layout in plan.layouts:
        for placed in layout.sections:
            yield from (part for part in placed.section.content.parts if isinstance(part, FilePart))
