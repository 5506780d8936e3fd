"""The cells of a matrix, written together: their images in one pass, each cell's outputs all or none."""

import resource
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from fuki_build.checks.run import refuse_errors
from fuki_build.emit.cell_paths import CellPaths
from fuki_build.emit.outputs import Output, choose_outputs, paths_of
from fuki_build.emit.plan import CellPlan, Result
from fuki_build.emit.write import Writing
from fuki_build.errors import FukiError, in_cell
from fuki_build.image.assemble import Progress
from fuki_build.image.digest_plan import NO_DIGESTS, DigestNeeds
from fuki_build.image.joint_pass import assemble_all
from fuki_build.image.output_files import DistinctPaths, OutputFiles

if TYPE_CHECKING:
    from fuki_build.image.assembly import Assembly

_TOGETHER = 256
"""Images that are written in one pass; each takes descriptors and threads."""


class CellOutcome(Struct, frozen=True, kw_only=True):
    """What became of a cell: what was written, or why nothing was."""

    cell: CellPlan
    result: Result | None = None
    failure: FukiError | None = None


class _CellInProgress(Struct, kw_only=True):
    """A cell on its way; `stack` holds its files until they have their names."""

    cell: CellPlan
    stack: ExitStack
    outputs: Sequence[Output] = ()
    writing: Writing | None = None
    failure: FukiError | None = None

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """An error ends this cell alone."""
        loaded = self.cell.loaded
        try:
            with in_cell(loaded.cell_id), loaded.origins.named():
                yield
        except FukiError as error:
            self.failure = error
            self.stack.close()


def write_cells(  # noqa: PLR0913 - each is an option of its own
    plans: Sequence[CellPlan],
    *,
    only: Sequence[str] = (),
    output: Path | None = None,
    depfile: Path | None = None,
    threads: int = 1,
    progress: Progress | None = None,
    digests: DigestNeeds = NO_DIGESTS,
    keep_same: bool = False,
) -> Iterator[CellOutcome]:
    """Write every cell that can be; its outcome comes as soon as its files have their names.

    `depfile` is for a single cell. With `keep_same`, outputs whose content would stay the same are not replaced.
    Raises `RecipeError`, before anything is written, where two cells write one path.
    """
    with ExitStack() as stack:
        cells = [
            _CellInProgress(cell=cell, stack=stack.enter_context(ExitStack()), failure=cell.failure) for cell in plans
        ]
        paths = CellPaths()
        for cell in cells:
            _choose(cell, only, output)
            written = [(path, chosen.path_where) for chosen in cell.outputs for path in paths_of(chosen)]
            paths.add(cell.cell.loaded, written)

        taken = DistinctPaths()
        for together in _rounds(cells):
            for cell in together:
                _open(cell, OutputFiles(taken=taken, keep_same=keep_same), progress, digests, depfile)
            yield from _finish(together, threads)


def _choose(cell: _CellInProgress, only: Sequence[str], output: Path | None) -> None:
    if cell.cell.plan is None:
        return
    with cell.attempt():
        refuse_errors(cell.cell.plan.findings)
        cell.outputs = choose_outputs(cell.cell.plan, only, output)


def _rounds(cells: Sequence[_CellInProgress]) -> Iterator[Sequence[_CellInProgress]]:
    """Cells that are written together: all of them, unless they are too many to be open at once."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    # A file may need a second descriptor on its way to its name.
    most = _TOGETHER if soft == resource.RLIM_INFINITY else max(1, min(_TOGETHER, (soft - 64) // 2))

    together: list[_CellInProgress] = []
    files = 0
    for cell in cells:
        count = sum(len(paths_of(output)) for output in cell.outputs)
        if together and files + count > most:
            yield together
            together, files = [], 0
        together.append(cell)
        files += count
    yield together


def _open(
    cell: _CellInProgress, files: OutputFiles, progress: Progress | None, digests: DigestNeeds, depfile: Path | None
) -> None:
    """Open the files and keys of a cell."""
    if cell.failure is not None or cell.cell.plan is None:
        return
    with cell.attempt():
        new = cell.stack.enter_context(files)
        cell.writing = Writing(cell.cell.plan, cell.outputs, new, cell.stack, progress, depfile, digests)


def _finish(cells: Sequence[_CellInProgress], threads: int) -> Iterator[CellOutcome]:
    """Assemble the images of all these cells, then finish one cell after the other."""
    jobs = [job for cell in cells if cell.writing is not None and cell.failure is None for job in cell.writing.jobs]
    assemblies = assemble_all(jobs, threads)
    for cell in cells:
        result = None
        if cell.writing is not None and cell.failure is None:
            own: list[Assembly | FukiError] = [next(assemblies) for _ in cell.writing.jobs]
            with cell.attempt():
                result = cell.writing.finish(own)
            cell.writing = None
            cell.stack.close()
        yield CellOutcome(cell=cell.cell, result=result, failure=cell.failure)
