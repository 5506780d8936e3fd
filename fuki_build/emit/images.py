"""The images of a build: each assembled and signed wherever an output wants it."""

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from msgspec.structs import replace

from fuki_build.emit.launch import needs_image_file
from fuki_build.emit.outputs import Output
from fuki_build.emit.plan import Plan
from fuki_build.emit.signing import BuildSigning
from fuki_build.hooks.records import BuiltImage
from fuki_build.image.assemble import Assembly, Progress, assemble
from fuki_build.image.layout import Layout
from fuki_build.image.output_file import OutputFile
from fuki_build.launch.runtime import runtime_banks
from fuki_build.signing.request import SignRequest

OpenFile = Callable[[Path, Output], OutputFile]


def image_requests(plan: Plan, outputs: Sequence[Output]) -> Iterator[SignRequest]:
    """What signs whole images in a build with these outputs."""
    for output in outputs:
        if output.images:
            yield from output.signers
    if _needs_file(plan, outputs):
        yield from plan.resolved.signers


def _needs_file(plan: Plan, outputs: Sequence[Output]) -> bool:
    """Whether the image is to be read as a file, even where no output writes it."""
    return needs_image_file(plan.resolved.launches) or any(output.format.needs_image_file for output in outputs)


class ImageWriter:
    """Writes a plan's images, with what `signing` signs of them."""

    def __init__(
        self, plan: Plan, outputs: Sequence[Output], signing: BuildSigning, progress: Progress | None = None
    ) -> None:
        self._plan = plan
        self._outputs = outputs
        self._signing = signing
        self._progress = progress
        self._banks = set(runtime_banks(plan.host, plan.resolved.launches))
        for output in outputs:
            with output.contribution.running():
                self._banks.update(output.format.banks(output.options))

    def write(self, layout: Layout, open_file: OpenFile) -> BuiltImage:
        """Assemble an image everywhere an output wants it; if none does, only for its digests."""
        content = self._signing.with_kernels(layout)
        built = None
        for output in self._outputs:
            for path, image in output.images.items():
                if image is layout:
                    file = open_file(path, output)
                    written = self._write(content, file, output.signers)
                    built = built or BuiltImage(*written, file.readable_path)

        if built is None and layout is self._plan.uki and _needs_file(self._plan, self._outputs):
            path = self._plan.workspace / "image.efi"
            with OutputFile(path) as file:
                written = self._write(content, file, self._plan.resolved.signers)
                file.commit()
            built = BuiltImage(*written, path)

        built = built or BuiltImage(content, self._assemble(content, None), None)
        return replace(built, layout=self._signing.with_policies(built.layout))

    def _write(self, content: Layout, file: OutputFile, requests: Sequence[SignRequest]) -> tuple[Layout, Assembly]:
        if not requests:
            return content, self._assemble(content, file)
        from fuki_build.signing.authenticode.image import write_signed  # noqa: PLC0415 - cryptography is slow to load

        def run(algorithms: Collection[str]) -> Assembly:
            return self._assemble(content, file, algorithms)

        return write_signed(content, file, self._signing.signers(requests), self._plan.signing, run=run)

    def _assemble(self, content: Layout, file: OutputFile | None, algorithms: Collection[str] = ()) -> Assembly:
        deferred = self._signing.policies(content)
        hashed = {*self._banks, *algorithms}
        if deferred:
            hashed |= self._signing.policy_banks
        return assemble(content, file, self._progress, hashed, measured=bool(self._banks), deferred=deferred)
