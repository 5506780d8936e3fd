"""Cells of a matrix: tables of them, and how far a build of many has come."""

import shutil
import sys
import time
from collections.abc import Sequence
from threading import Lock
from types import TracebackType
from typing import Self

from fuki_build.cli.render import colour
from fuki_build.cli.render.plain import plain, tell
from fuki_build.cli.render.sizes import human_size
from fuki_build.cli.render.table import Cell, StandardOutput, TextTable
from fuki_build.emit.cells import CellOutcome
from fuki_build.emit.outputs import choose_outputs, paths_of
from fuki_build.emit.plan import CellPlan, Plan
from fuki_build.emit.shared import SharedInput, shared_inputs
from fuki_build.hooks.rules import Severity

_INTERVAL = 0.1
"""Seconds between two updates of a terminal's line."""
_NAMED = 3
"""Cells that are named where not all share an input."""


class CellProgress:
    """How far a build of cells has come, on standard error: one line on a terminal, one for each cell elsewhere."""

    def __init__(self, plans: Sequence[CellPlan]) -> None:
        self._count = len(plans)
        self._total = sum(layout.file_size for cell in plans if cell.plan for layout in cell.plan.layouts)
        self._updates = colour.wanted(sys.stderr)
        self._lock = Lock()
        self._bytes = self._finished = 0
        self._next = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._updates:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def advance(self, size: int) -> None:
        """Add bytes that were written, or only hashed; several threads may."""
        with self._lock:
            self._bytes += size
            if self._updates and time.monotonic() >= self._next:
                self._next = time.monotonic() + _INTERVAL
                self._show()

    def finished(self, outcome: CellOutcome) -> None:
        self._finished += 1
        if self._updates:
            self._show()
        else:
            verb = "failed" if outcome.failure else "built"
            tell(f"{verb} {outcome.cell.loaded.cell_id} ({self._finished} of {self._count})")

    def _show(self) -> None:
        done = min(self._bytes, self._total)
        text = f"{self._finished} of {self._count} cells, {human_size(done)} of {human_size(self._total)}"
        sys.stderr.write(f"\r{text[: shutil.get_terminal_size().columns - 1]}\x1b[K")
        sys.stderr.flush()


def show_outcomes(outcomes: Sequence[CellOutcome]) -> None:
    """What was written of each cell, on standard output."""
    table = TextTable("Cell", "State", "Format", "Size", "Output", right=("Size",))
    for outcome in outcomes:
        name = outcome.cell.loaded.cell_id or ""
        if outcome.result is None:
            table.add_row(name, Cell("failed", "red"), "", "", "")
            continue
        for index, artifact in enumerate(outcome.result.artifacts):
            first = (name, Cell("built", "green")) if index == 0 else ("", "")
            table.add_row(*first, artifact.format, human_size(artifact.path.stat().st_size), str(artifact.path))
    StandardOutput().table(table)


def show_cells(cells: Sequence[CellPlan]) -> None:
    """All cells in a table, then the inputs with the cells that share them."""
    console = StandardOutput()
    table = TextTable("Cell", "State", "Size", "Errors", "Warnings", "Output", right=("Size", "Errors", "Warnings"))
    for cell in cells:
        name, plan = cell.loaded.cell_id or "", cell.plan
        if plan is None:
            table.add_row(name, Cell("fails", "red"), "", "", "", "")
            continue
        counts = [sum(f.severity is s for f in plan.findings) for s in (Severity.ERROR, Severity.WARNING)]
        state = Cell("fails", "red") if counts[0] else Cell("ready", "green")
        size = human_size(sum(layout.file_size for layout in plan.layouts))
        table.add_row(name, state, size, *map(str, counts), _first_output(plan))
    console.table(table)

    inputs = shared_inputs(cells)
    if inputs:
        console.print()
        console.table(_shared(inputs, len(cells)))
        read = sum(item.part.size for item in inputs)
        alone = sum(item.part.size * len(item.cells) for item in inputs)
        console.print(
            plain(f"{len(cells)} cells read {human_size(read)} together, each alone would read {human_size(alone)}")
        )
    console.print()


def _first_output(plan: Plan) -> str:
    paths = [str(path) for output in choose_outputs(plan) for path in paths_of(output)]
    return f"{paths[0]} and {len(paths) - 1} more" if paths[1:] else "".join(paths)


def _shared(inputs: Sequence[SharedInput], count: int) -> TextTable:
    table = TextTable("Input", "Size", "Cells", "Of", right=("Size", "Cells"))
    for item in inputs:
        if len(item.cells) == count:
            named = "all"
        else:
            rest = len(item.cells) - _NAMED
            named = " ".join(item.cells[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")
        table.add_row(str(item.part.path), human_size(item.part.size), str(len(item.cells)), named)
    return table
