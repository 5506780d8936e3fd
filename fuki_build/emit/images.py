"""The images of a build: each assembled once, to all files that are to have it, and signed there."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import mkdtemp

from msgspec import Struct

from fuki_build.emit.launch_needs import launch_digests
from fuki_build.emit.outputs import Output, needs_file, needs_signatures
from fuki_build.emit.plan import Plan
from fuki_build.emit.signing import BuildSigning
from fuki_build.hooks.outputs import BuiltImage
from fuki_build.image.assemble import Progress
from fuki_build.image.assembly import Assembly
from fuki_build.image.digest_plan import NO_DIGESTS, DigestNeeds, measured_in
from fuki_build.image.joint_pass import ImageJob
from fuki_build.image.layout import Layout
from fuki_build.image.output_file import OutputFile
from fuki_build.signing.request import Signer

OpenFile = Callable[[Path, Output], OutputFile]


class _Copy(Struct, frozen=True):
    """One file that is to have an image, and its open signers; `scratch` is one that only fuki reads."""

    file: OutputFile
    signers: Sequence[Signer]
    scratch: bool = False


class ImageInProgress(Struct, frozen=True):
    """An image that is to be assembled, `job`, with the files that are to have it."""

    layout: Layout
    job: ImageJob
    copies: Sequence[_Copy]


class ImageWriter:
    """Writes a plan's images, with what `signing` signs of them; scratch files are there as long as `stack`.

    Computed are the digests that the outputs, launches and signers declare, and `digests`.
    """

    def __init__(
        self,
        plan: Plan,
        outputs: Sequence[Output],
        signing: BuildSigning,
        stack: ExitStack,
        progress: Progress | None = None,
        digests: DigestNeeds = NO_DIGESTS,
    ) -> None:
        self._plan = plan
        self._outputs = outputs
        self._signing = signing
        self._stack = stack
        self._progress = progress
        self._digests = digests | launch_digests(plan)
        for output in outputs:
            with output.running():
                self._digests |= output.format.digests(output.options)
                self._digests |= measured_in(output.format.banks(output.options))

    @property
    def knows_inputs(self) -> bool:
        """Whether the digests of input files are computed."""
        return self._digests.inputs

    def begin(self, layout: Layout, open_file: OpenFile) -> ImageInProgress:
        """Open the files that are to have an image; if there are none, it is assembled for its digests only."""
        content = self._signing.with_kernels(layout)
        copies = list(self._copies(layout, open_file))
        return ImageInProgress(content, self._job(content, copies), copies)

    def finish(self, image: ImageInProgress, assembly: Assembly) -> BuiltImage:
        """Sign what was assembled."""
        content, copies = image.layout, image.copies
        signed = [self._sign(content, copy, assembly) for copy in copies]
        for copy in copies:
            if copy.scratch:
                copy.file.commit()
        path = copies[0].file.readable_path if copies else None
        if copies and copies[0].scratch:
            path = copies[0].file.path
        built = signed[0] if signed else content
        return BuiltImage(self._signing.with_policies(built), assembly, path)

    def _copies(self, layout: Layout, open_file: OpenFile) -> Iterator[_Copy]:
        """The files that are to have an image; one in the workspace where it is only to be read."""
        places = [(p, output) for output in self._outputs for p, image in output.images.items() if image is layout]
        for path, output in places:
            file = open_file(path, output)
            yield _Copy(file, self._signing.signers(output.signers))

        is_read = layout is self._plan.uki and needs_file(self._plan, self._outputs)
        if not places and (is_read or needs_signatures(self._outputs)):
            # Cells of a matrix share a workspace.
            directory = Path(mkdtemp(dir=self._plan.workspace))
            file = self._stack.enter_context(OutputFile(directory / "image.efi"))
            yield _Copy(file, self._signing.signers(self._plan.resolved.signers), scratch=True)

    def _job(self, content: Layout, copies: Sequence[_Copy]) -> ImageJob:
        needs = self._digests
        deferred = self._signing.policies(content)
        if deferred:
            needs |= DigestNeeds(sections=self._signing.policy_banks)
        signers = [signer for copy in copies for signer in copy.signers]
        if signers:
            from fuki_build.signing.authenticode.image import signing_digests  # noqa: PLC0415 - cryptography is slow to load

            needs |= signing_digests(signers)
        files = [copy.file for copy in copies]
        return ImageJob(layout=content, outputs=files, digests=needs, deferred=deferred, progress=self._progress)

    def _sign(self, content: Layout, copy: _Copy, assembly: Assembly) -> Layout:
        if not copy.signers:
            return content
        from fuki_build.signing.authenticode.image import sign_written  # noqa: PLC0415 - cryptography is slow to load

        return sign_written(content, copy.file, copy.signers, self._plan.signing, assembly)
