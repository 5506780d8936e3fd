"""What verbs do with the cells of a matrix: plan, build and check them, and tell about each."""

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from msgspec.structs import replace

from fuki_build import pipeline
from fuki_build.builtin.outputs import MANIFEST_DIGESTS
from fuki_build.cli.matrix_documents import matrix_build_document, matrix_findings_document, matrix_plan_document
from fuki_build.cli.render.findings import show_findings, show_notes
from fuki_build.cli.render.json import DocumentPrinter
from fuki_build.cli.render.matrix import CellProgress, show_cells, show_outcomes
from fuki_build.cli.render.plain import tell
from fuki_build.emit.plan import CellPlan
from fuki_build.errors import FukiError, RecipeError
from fuki_build.hooks.rules import Finding, Severity
from fuki_build.image.digest_plan import NO_DIGESTS
from fuki_build.recipe.load import LoadedRecipe


def build_matrix(
    cells: Sequence[LoadedRecipe],
    plugins: Sequence[str],
    *,
    only: Sequence[str],
    output: Path | None,
    depfile: Path | None,
    unsigned: bool,
    keep_same: bool,
    threads: int,
    as_json: bool,
) -> int:
    """Build all cells; one report at the end. The exit code is the worst of the cells'."""
    if output is not None and len(cells) > 1:
        hint = f"choose one with --cell, such as {cells[0].cell_id}, or let paths of outputs have {{{{ matrix.… }}}}"
        raise RecipeError(f"{len(cells)} cells cannot go to one path", where="--output", hint=hint)

    outcomes = []
    with pipeline.plan_cells(cells, plugins, unsigned=unsigned, previewed=True, only=only, output=output) as plans:
        _show_notes(plans)
        _show_findings(plans, lambda finding: finding.severity is not Severity.NOTE)
        with CellProgress(plans) as progress:
            digests = MANIFEST_DIGESTS if as_json else NO_DIGESTS
            for outcome in pipeline.build_cells(
                plans,
                only=only,
                output=output,
                depfile=depfile,
                threads=threads,
                progress=progress.advance,
                digests=digests,
                keep_same=keep_same,
            ):
                progress.finished(outcome)
                outcomes.append(outcome)

        for outcome in outcomes:
            if outcome.result is not None and outcome.cell.plan is not None:
                new = outcome.result.build.findings[len(outcome.cell.plan.findings) :]
                show_findings(_of_cell(new, outcome.cell))
        if as_json:
            from fuki_build.cli.render.json import print_document  # noqa: PLC0415

            print_document(matrix_build_document(outcomes))
        else:
            show_outcomes(outcomes)
    return _end([outcome.failure for outcome in outcomes], "built")


def plan_matrix(cells: Sequence[LoadedRecipe], plugins: Sequence[str], *, unsigned: bool, as_json: bool) -> int:
    """Show all cells, and what they share."""
    with pipeline.plan_cells(cells, plugins, unsigned=unsigned, previewed=True) as plans:
        if as_json:
            from fuki_build.cli.render.json import print_document  # noqa: PLC0415

            print_document(matrix_plan_document(plans))
        else:
            show_cells(plans)
        _show_notes(plans)
        return _tell(plans)


def check_matrix(
    cells: Sequence[LoadedRecipe], plugins: Sequence[str], printer: DocumentPrinter | None, *, unsigned: bool
) -> int:
    """Check all cells, for JSON with a printer; each finding names its cells."""
    with pipeline.plan_cells(cells, plugins, unsigned=unsigned, previewed=True) as plans:
        if printer is not None:
            printer.print(matrix_findings_document(plans))
        elif not any(cell.failure or (cell.plan and cell.plan.findings) for cell in plans):
            tell(f"nothing to complain about in {len(plans)} cells")
        return _tell(plans)


def _tell(plans: Sequence[CellPlan]) -> int:
    """Say what is wrong with which cells; returns the exit code."""
    _show_findings(plans, lambda _: True)
    code = _end([cell.failure for cell in plans], "planned")
    errors = (f.severity is Severity.ERROR for cell in plans if cell.plan for f in cell.plan.findings)
    return code or int(any(errors))


def _show_notes(plans: Sequence[CellPlan]) -> None:
    show_notes(dict.fromkeys(note for cell in plans if cell.plan for note in cell.plan.resolved.notes))


def _show_findings(plans: Sequence[CellPlan], shown: Callable[[Finding], bool]) -> None:
    """Each finding once, with the cells that it is about, where it is not about all."""
    for finding, ids in _by_finding(plans).items():
        if shown(finding):
            about = f"cell {_several(ids)}" if len(ids) < len(plans) else None
            show_findings([_moved(finding, ": ".join(part for part in (about, finding.where) if part) or None)])


def _by_finding(plans: Sequence[CellPlan]) -> dict[Finding, list[str]]:
    about: dict[Finding, list[str]] = {}
    for cell in plans:
        for finding in cell.plan.findings if cell.plan else ():
            about.setdefault(finding, []).append(cell.loaded.cell_id or "")
    return about


def _several(ids: Sequence[str]) -> str:
    return f"{ids[0]} and {len(ids) - 1} more" if ids[1:] else ids[0]


def matrix_findings(cells: Sequence[LoadedRecipe], plugins: Sequence[str], *, unsigned: bool) -> tuple[Finding, ...]:
    """The findings about all cells, each once, with its cells where it is not about all. Raises the first error."""
    with pipeline.plan_cells(cells, plugins, unsigned=unsigned, previewed=True) as plans:
        for cell in plans:
            if cell.failure is not None:
                raise cell.failure
        return tuple(
            finding if len(ids) == len(plans) else replace(finding, message=f"{finding.message} (cell {_several(ids)})")
            for finding, ids in _by_finding(plans).items()
        )


def _of_cell(findings: Iterable[Finding], cell: CellPlan) -> Iterable[Finding]:
    for finding in findings:
        yield _moved(finding, ": ".join(part for part in (f"cell {cell.loaded.cell_id}", finding.where) if part))


def _moved(finding: Finding, where: str | None) -> Finding:
    return replace(finding, where=where)


def _end(failures: Sequence[FukiError | None], done: str) -> int:
    """Tell every failure; the exit code is the worst, which is the highest."""
    errors = [failure for failure in failures if failure is not None]
    sys.stdout.flush()
    for error in errors:
        tell_error(error)
    if errors:
        tell(f"fuki: {len(failures) - len(errors)} of {len(failures)} cells were {done}")
    return max((error.exit_code for error in errors), default=0)


def tell_error(error: FukiError) -> None:
    tell(f"fuki: error: {f'{error.place}: ' if error.place else ''}{error.message}")
    if error.hint:
        tell(f"  hint: {error.hint}")
