"""What a build would write, and who would sign it: all that can be told, and refused, before anything is opened."""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from fuki_build.emit.keys import preview_key
from fuki_build.emit.launch_needs import will_launch
from fuki_build.emit.outputs import Output, image_requests, paths_of
from fuki_build.emit.plan import Plan
from fuki_build.errors import located
from fuki_build.hooks.records import PlannedFile, PreviewContext
from fuki_build.hooks.signers import KeyPreview
from fuki_build.image.layout import Layout
from fuki_build.image.output_file import check_writable
from fuki_build.image.output_files import DistinctPaths
from fuki_build.recipe.text import find_template
from fuki_build.signing.request import SignRequest

if TYPE_CHECKING:
    from fuki_build.signing.preview import SignerPreview


class Signed(StrEnum):
    """What a signer signs."""

    IMAGE = "image"
    KERNEL = "kernel"
    PCR_POLICY = "pcr-policy"


class PlannedSigner(Struct, frozen=True):
    """A signer of a build, and what it signs."""

    signer: "SignerPreview"
    signs: tuple[Signed, ...]


class PlannedOutput(Struct, frozen=True):
    """An output, and the files that it is going to write."""

    output: Output
    files: tuple[PlannedFile, ...]

    def place(self, file: PlannedFile) -> str:
        """The place that says where a file goes."""
        return self.output.path_where if file.path == self.output.path else self.output.where


class Preview(Struct, frozen=True):
    """All outputs and signers of a build."""

    outputs: tuple[PlannedOutput, ...]
    signers: tuple[PlannedSigner, ...]

    @property
    def paths(self) -> Sequence[tuple[Path, str]]:
        """What will be written, each with the place that says its path: files, and directories of files."""
        known = [(path, item.output.path_where) for item in self.outputs for path in paths_of(item.output)]
        return [*known, *((file.path, item.place(file)) for item in self.outputs for file in item.files)]


def preview_outputs(plan: Plan, outputs: Sequence[Output], edits: Path | None = None) -> Preview:
    """What a build with these outputs would write, and who would sign. Raises `FukiError` for what it would refuse.

    No key is opened, so nobody is asked for a secret, and no service is contacted. `edits` is a file that was read, and
    may be replaced.
    """
    signers = tuple(_signers(plan, outputs))
    by_place = {planned.signer.request.where: planned.signer for planned in signers}
    planned = tuple(PlannedOutput(output, tuple(_files(plan, output, by_place))) for output in outputs)

    paths = DistinctPaths()
    for item in planned:
        for file in item.files:
            with located(item.place(file)):
                if file.many:
                    check_writable(file.path / "file")
                else:
                    paths.add(file.path)
                    check_writable(file.path, edits)
    return Preview(planned, signers)


def _signers(plan: Plan, outputs: Sequence[Output]) -> Iterator[PlannedSigner]:
    """Each signer once, with all that it signs."""
    requests = {
        Signed.IMAGE: tuple(image_requests(plan, outputs)),
        Signed.KERNEL: tuple(request for kernel in plan.resolved.kernels for request in kernel.requests),
        Signed.PCR_POLICY: () if plan.offline_policies else tuple(_policy_requests(plan)),
    }
    by_place: dict[str, SignRequest] = {}
    signs: dict[str, list[Signed]] = {}
    for kind, of_kind in requests.items():
        for request in {request.where: request for request in of_kind}.values():
            by_place[request.where] = request
            signs.setdefault(request.where, []).append(kind)

    for where, request in by_place.items():
        from fuki_build.signing.preview import preview_signer  # noqa: PLC0415 - cryptography is slow to load

        signs_images = signs[where] != [Signed.PCR_POLICY]
        yield PlannedSigner(preview_signer(request, plan.signing, signs_images=signs_images), tuple(signs[where]))


def _policy_requests(plan: Plan) -> Iterator[SignRequest]:
    for reservation in plan.resolved.policies:
        for key in reservation.keys:
            yield key.request.signer


def _files(plan: Plan, output: Output, signers: Mapping[str, "SignerPreview"]) -> Iterator[PlannedFile]:
    own = [signers[request.where] for request in output.signers] if output.images else []
    for path, layout in output.images.items():
        yield PlannedFile(path, _size(layout, own))

    def find(name: str) -> None:
        find_template(name, plan.template_directories, output.place("template"))

    def key(table: Mapping[str, Any], option: str) -> KeyPreview:
        return preview_key(table, plan.host, plan.signing, f"{output.where}.{option}")

    context = PreviewContext(
        path=output.path,
        directory=plan.loaded.directory,
        uki=plan.uki,
        launches=will_launch(plan),
        find_template=find,
        key=key,
    )
    with output.running():
        yield from output.format.preview(output.options, context)


def _size(layout: Layout, signers: Sequence["SignerPreview"]) -> int | None:
    if not signers:
        return layout.file_size
    from fuki_build.signing.preview import signed_size  # noqa: PLC0415 - cryptography is slow to load

    return signed_size(layout, signers)
