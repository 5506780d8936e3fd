"""What verbs on recipes print with `--json`."""

from collections.abc import Sequence

from fuki_build.builtin.outputs import ManifestDocument, manifest
from fuki_build.emit.plan import Plan, Result
from fuki_build.emit.preview import Preview
from fuki_build.formats.documents import Document, View
from fuki_build.hooks.outputs import PlannedFile
from fuki_build.hooks.rules import Finding
from fuki_build.image.describe import LayoutView


class PlannedFileView(View, frozen=True, kw_only=True):
    """A file that would be written: `size` in bytes, null where it is known only then.

    `many` stands for a directory with files that are known only then; `replaces` tells that there is a file now.
    """

    path: str
    size: int | None
    many: bool
    replaces: bool


class PlannedOutputView(View, frozen=True, kw_only=True):
    """An output of the recipe: `where` is its place there, `signed_by` the places of its signers."""

    format: str
    where: str
    files: tuple[PlannedFileView, ...]
    signed_by: tuple[str, ...]


class PlannedSignerView(View, frozen=True, kw_only=True):
    """A signer: `where` is its place in the recipe, `signs` is of `image`, `kernel` and `pcr-policy`.

    `subject`, `sha256` and `expires` are its certificate's; null where that is not known without opening the key.
    """

    where: str
    backend: str
    signs: tuple[str, ...]
    subject: str | None
    sha256: str | None
    expires: str | None


class PlanDocument(Document, frozen=True, kw_only=True):
    """Of `fuki plan`: the UKI, then its addons, what the checks found, which files go where, and who signs."""

    name: str
    image_version: str
    images: tuple[LayoutView, ...]
    findings: tuple[Finding, ...]
    outputs: tuple[PlannedOutputView, ...]
    signers: tuple[PlannedSignerView, ...]


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


def plan_document(plan: Plan, preview: Preview) -> PlanDocument:
    recipe = plan.loaded.recipe
    return PlanDocument(
        name=recipe.name,
        image_version=recipe.version,
        images=tuple(plan.views),
        findings=tuple(plan.findings),
        outputs=output_views(preview),
        signers=signer_views(preview),
    )


def output_views(preview: Preview) -> tuple[PlannedOutputView, ...]:
    return tuple(
        PlannedOutputView(
            format=planned.output.format.name,
            where=planned.output.where,
            files=tuple(_file_view(file) for file in planned.files),
            signed_by=tuple(request.where for request in planned.output.signers if planned.output.images),
        )
        for planned in preview.outputs
    )


def _file_view(file: PlannedFile) -> PlannedFileView:
    replaces = not file.many and file.path.exists()
    return PlannedFileView(path=str(file.path), size=file.size, many=file.many, replaces=replaces)


def signer_views(preview: Preview) -> tuple[PlannedSignerView, ...]:
    views = []
    for planned in preview.signers:
        from fuki_build.formats.asn1 import x509  # noqa: PLC0415 - cryptography is slow to load

        signer = planned.signer
        certificate = signer.certificate
        views.append(
            PlannedSignerView(
                where=signer.request.where,
                backend=signer.request.backend.name,
                signs=tuple(kind.value for kind in planned.signs),
                subject=None if certificate is None else x509.subject(certificate),
                sha256=None if certificate is None else x509.fingerprint(certificate),
                expires=None if certificate is None else x509.expires(certificate).isoformat(),
            )
        )
    return tuple(views)


def build_document(result: Result) -> BuildDocument:
    """Reads the sizes of the files that were written."""
    return BuildDocument(artifact_views(result), manifest(result.build))


def artifact_views(result: Result) -> tuple[ArtifactView, ...]:
    return tuple(ArtifactView(str(a.path), a.format, a.path.stat().st_size) for a in result.artifacts)


def findings_document(findings: Sequence[Finding]) -> FindingsDocument:
    return FindingsDocument(tuple(findings))
