"""What verbs print with `--json` of a recipe that has a matrix."""

from collections.abc import Mapping, Sequence

from fuki_build.builtin.outputs import ManifestDocument, manifest
from fuki_build.cli.documents import ArtifactView, artifact_views
from fuki_build.cli.fleet import ErrorView
from fuki_build.emit.cells import CellOutcome
from fuki_build.emit.outputs import choose_outputs, paths_of
from fuki_build.emit.plan import CellPlan, Plan
from fuki_build.emit.shared import shared_inputs
from fuki_build.errors import FukiError
from fuki_build.formats.documents import Document, View
from fuki_build.hooks.rules import Finding
from fuki_build.image.describe import LayoutView


class CellBuildView(View, frozen=True, kw_only=True):
    """A cell of a matrix: what was written of it, or the error why nothing was. `values` are those of its axes."""

    cell: str
    values: Mapping[str, str]
    artifacts: tuple[ArtifactView, ...]
    build: ManifestDocument | None
    error: ErrorView | None


class MatrixBuildDocument(Document, frozen=True):
    """Of `fuki build`, where the recipe has a matrix."""

    cells: tuple[CellBuildView, ...]


class CellPlanView(View, frozen=True, kw_only=True):
    """A cell of a matrix: its images and what the checks found, or the error why there are none.

    `values` are those of its axes, `variables` all that texts have as `matrix.NAME`.
    """

    cell: str
    values: Mapping[str, str]
    variables: Mapping[str, str]
    images: tuple[LayoutView, ...]
    outputs: tuple[str, ...]
    findings: tuple[Finding, ...]
    error: ErrorView | None


class SharedInputView(View, frozen=True):
    """A file that goes into images as it is, or a part of one: `size` in bytes, `cells` those that have it."""

    path: str
    size: int
    cells: tuple[str, ...]


class MatrixPlanDocument(Document, frozen=True, kw_only=True):
    """Of `fuki plan`, where the recipe has a matrix.

    `output_size` are the bytes of all images, `input_size` those that are read for them, each once.
    """

    cells: tuple[CellPlanView, ...]
    inputs: tuple[SharedInputView, ...]
    output_size: int
    input_size: int


class CellFindingsView(View, frozen=True):
    """What the checks found about a cell of a matrix, or the error why they could not look at it."""

    cell: str
    findings: tuple[Finding, ...]
    error: ErrorView | None


class MatrixFindingsDocument(Document, frozen=True):
    """Of `fuki check`, where the recipe has a matrix."""

    cells: tuple[CellFindingsView, ...]


def matrix_build_document(outcomes: Sequence[CellOutcome]) -> MatrixBuildDocument:
    """Reads the sizes of the files that were written."""
    return MatrixBuildDocument(
        tuple(
            CellBuildView(
                cell=o.cell.loaded.cell_id or "",
                values=o.cell.loaded.cell.axes if o.cell.loaded.cell else {},
                artifacts=artifact_views(o.result) if o.result else (),
                build=manifest(o.result.build) if o.result else None,
                error=error_view(o.failure),
            )
            for o in outcomes
        )
    )


def error_view(error: FukiError | None) -> ErrorView | None:
    return None if error is None else ErrorView(error.message, error.place, error.hint)


def matrix_plan_document(cells: Sequence[CellPlan]) -> MatrixPlanDocument:
    views = []
    for cell in cells:
        plan, values = cell.plan, cell.loaded.cell
        views.append(
            CellPlanView(
                cell=cell.loaded.cell_id or "",
                values=values.axes if values else {},
                variables=values.variables if values else {},
                images=tuple(plan.views) if plan else (),
                outputs=tuple(str(path) for output in choose_outputs(plan) for path in paths_of(output))
                if plan
                else (),
                findings=tuple(plan.findings) if plan else (),
                error=error_view(cell.failure),
            )
        )

    shared = shared_inputs(cells)
    return MatrixPlanDocument(
        cells=tuple(views),
        inputs=tuple(SharedInputView(str(i.part.path), i.part.size, i.cells) for i in shared),
        output_size=sum(layout.file_size for cell in cells if cell.plan for layout in cell.plan.layouts),
        input_size=sum(i.part.size for i in shared),
    )


def matrix_findings_document(cells: Sequence[CellPlan]) -> MatrixFindingsDocument:
    return MatrixFindingsDocument(
        tuple(
            CellFindingsView(c.loaded.cell_id or "", c.plan.findings if c.plan else (), error_view(c.failure))
            for c in cells
        )
    )


def _output_paths(plan: Plan) -> tuple[str, ...]:
    return tuple(str(path) for output in choose_outputs(plan) for path in paths_of(output))
