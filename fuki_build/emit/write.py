"""Write all outputs, or none."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from fuki_build.emit import depfile as depfiles
from fuki_build.emit.images import ImageWriter
from fuki_build.emit.outputs import Output, image_requests
from fuki_build.emit.plan import Plan, Result
from fuki_build.emit.signing import BuildSigning
from fuki_build.emit.sites import site_of
from fuki_build.errors import FukiError, RecipeError, located
from fuki_build.hardware.machine import Machine
from fuki_build.hooks.host import loaded_machines
from fuki_build.hooks.launch import LaunchRecord
from fuki_build.hooks.outputs import Artifact, Build, BuiltImage, InputFile
from fuki_build.image.assemble import Progress
from fuki_build.image.assembly import Assembly
from fuki_build.image.blob import FilePart
from fuki_build.image.digest_plan import NO_DIGESTS, DigestNeeds
from fuki_build.image.guard import note_read
from fuki_build.image.joint_pass import ImageJob, assemble_all
from fuki_build.image.output_file import OutputFile
from fuki_build.image.output_files import OutputFiles
from fuki_build.measure.boot import Boot
from fuki_build.measure.section_digests import SectionDigests


def write_outputs(
    plan: Plan,
    outputs: Sequence[Output],
    progress: Progress | None = None,
    depfile: Path | None = None,
    digests: DigestNeeds = NO_DIGESTS,
    edits: Path | None = None,
    *,
    keep_same: bool = False,
) -> Result:
    """Assemble the images, let every output tell about them, and give all files their names at the end.

    `digests` are computed beside those that the outputs declare. `edits` is a file that was read, and may be replaced.
    With `keep_same`, outputs whose content would stay the same are not replaced.
    """
    with ExitStack() as stack:
        new = stack.enter_context(OutputFiles(edits, keep_same=keep_same))
        writing = Writing(plan, outputs, new, stack, progress, depfile, digests)
        return writing.finish(list(assemble_all(writing.jobs)))


class Writing:
    """The outputs of a plan on their way: all files and keys are open, and `jobs` are to be assembled."""

    def __init__(
        self,
        plan: Plan,
        outputs: Sequence[Output],
        new: OutputFiles,
        stack: ExitStack,
        progress: Progress | None = None,
        depfile: Path | None = None,
        digests: DigestNeeds = NO_DIGESTS,
    ) -> None:
        self._plan = plan
        self._outputs = outputs
        self._new = new
        self._files = _Files(new)
        self._depfile = None if depfile is None else _open(new, depfile, "--depfile")
        self._signing = BuildSigning(plan, image_requests(plan, outputs))
        self._writer = ImageWriter(plan, outputs, self._signing, stack, progress, digests)
        self._images = [self._writer.begin(layout, self._files.open) for layout in plan.layouts]

    @property
    def jobs(self) -> Sequence[ImageJob]:
        """The images to assemble: the UKI, then its addons."""
        return [image.job for image in self._images]

    def finish(self, assemblies: Sequence[Assembly | FukiError]) -> Result:
        """Sign and tell about what was assembled, and give all files their names. Raises an error that is among it."""
        built = []
        for image, assembly in zip(self._images, assemblies, strict=True):
            if isinstance(assembly, FukiError):
                raise assembly
            built.append(self._writer.finish(image, assembly))

        plan, uki, addons = self._plan, built[0], tuple(built[1:])
        inputs = tuple(_inputs(plan, self._writer, built, self._signing.kernel_digests))
        build = _record(plan, uki, addons, inputs, self._signing)
        templates: list[Path] = []
        for output in self._outputs:
            _emit(plan, output, build, self._files, templates)

        result = Result(self._files.artifacts, build, _dependencies(plan, self._outputs, templates))
        for path in result.dependencies:
            note_read(path)
        if self._depfile is not None:
            # ninja knows an output by its first name, and wants no other in a depfile.
            targets = [artifact.path for artifact in result.artifacts][:1]
            self._depfile.write(depfiles.encode(targets, result.dependencies).encode())
        self._new.commit()
        return result


class _Files:
    """The files in the making, and the formats that they are of."""

    def __init__(self, new: OutputFiles) -> None:
        self._new = new
        self._artifacts: list[Artifact] = []

    def open(self, path: Path, output: Output) -> OutputFile:
        file = _open(self._new, path, output.path_where if path == output.path else output.where)
        self._artifacts.append(Artifact(path, output.format.name))
        return file

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        return tuple(self._artifacts)


def _open(new: OutputFiles, path: Path, where: str) -> OutputFile:
    with located(where, RecipeError):
        return new.open(path)


def _record(
    plan: Plan,
    uki: BuiltImage,
    addons: tuple[BuiltImage, ...],
    inputs: tuple[InputFile, ...],
    signing: BuildSigning,
) -> Build:
    recipe = plan.loaded.recipe
    return Build(
        name=recipe.name,
        version=recipe.version,
        variables=plan.loaded.variables,
        uki=uki,
        addons=addons,
        inputs=inputs,
        tools=plan.host.versions(),
        findings=(*plan.findings, *signing.findings),
        firmware_origins=plan.resolved.firmware_origins,
        machines=_machines(plan),
        launches=_launches(plan, uki, addons),
        directory=plan.loaded.directory,
        authorized=_authorized,
    )


def _launches(plan: Plan, uki: BuiltImage, addons: Sequence[BuiltImage]) -> tuple[LaunchRecord, ...]:
    if not plan.resolved.launches:
        return ()
    from fuki_build.emit.launch import build_launches  # noqa: PLC0415 - measuring is slow to load

    return tuple(build_launches(plan, uki, addons))


def _authorized(boot: Boot, contents: SectionDigests) -> Boot:
    from fuki_build.signing.secure_boot.boot import with_authorities  # noqa: PLC0415 - most recipes predict nothing

    return with_authorities(boot, contents)


def _machines(plan: Plan) -> tuple[Machine, ...]:
    declared = [expectation.machine for expectation in plan.resolved.expectations]
    return tuple(dict.fromkeys([*declared, *loaded_machines(plan.host)]))


def _inputs(
    plan: Plan, writer: ImageWriter, images: Sequence[BuiltImage], kernels: Mapping[FilePart, str]
) -> Iterator[InputFile]:
    """Every input once per place that names it; what was too large to read while planning has its digest by now."""
    read = {part: digest for image in images for part, digest in image.assembly.inputs}
    read.update(kernels)
    for item in plan.resolved.inputs.files:
        digest = None
        if writer.knows_inputs:
            digest = item.sha256 or (read[item.part] if item.part is not None else "")
        yield InputFile(item.name, item.where, digest)


def _emit(plan: Plan, output: Output, build: Build, files: _Files, templates: list[Path]) -> None:
    context = site_of(plan).output_context(output, lambda path: files.open(path, output), templates)
    with output.running():
        output.format.emit(output.options, build, context)


def _dependencies(plan: Plan, outputs: Sequence[Output], templates: Sequence[Path]) -> tuple[Path, ...]:
    inputs = plan.resolved.inputs
    kept = (
        *plan.loaded.files,
        *(i.path for i in inputs.files),
        *inputs.dependencies,
        *plan.signing.files,
        *plan.host.module_files(),
        *templates,
        *(plan.loaded.directory / name for output in outputs for name in output.format.files(output.options)),
    )
    return tuple(path for path in dict.fromkeys(kept) if not path.is_relative_to(plan.workspace))
