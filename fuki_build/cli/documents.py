"""What verbs on recipes print with `--json`."""

from collections.abc import Sequence

from fuki_build.builtin.outputs import ManifestDocument, manifest
from fuki_build.emit.plan import Plan, Result
from fuki_build.formats.documents import Document, View
from fuki_build.hooks.records import Finding
from fuki_build.image.describe import LayoutView


class PlanDocument(Document, frozen=True):
    """Of `fuki plan`: the UKI, then its addons, and what the checks found."""

    name: str
    image_version: str
    images: tuple[LayoutView, ...]
    findings: tuple[Finding, ...]


class ArtifactView(View, frozen=True):
    """A file that was written: `size` in bytes, `format` the output format that wrote it."""

    path: str
    format: str
    size: int


class BuildDocument(Document, frozen=True):
    """Of `fuki build`."""

    artifacts: tuple[ArtifactView, ...]
    build: ManifestDocument


class FindingsDocument(Document, frozen=True):
    """Of `fuki check`."""

    findings: tuple[Finding, ...]


def plan_document(plan: Plan) -> PlanDocument:
    recipe = plan.loaded.recipe
    return PlanDocument(recipe.name, recipe.version, tuple(plan.views), tuple(plan.findings))


def build_document(result: Result) -> BuildDocument:
    """Reads the sizes of the files that were written."""
    return BuildDocument(artifact_views(result), manifest(result.build))


def artifact_views(result: Result) -> tuple[ArtifactView, ...]:
    return tuple(ArtifactView(str(a.path), a.format, a.path.stat().st_size) for a in result.artifacts)


def findings_document(findings: Sequence[Finding]) -> FindingsDocument:
    return FindingsDocument(tuple(findings))
