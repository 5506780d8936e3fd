"""Write all outputs, or none."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from fuki_build.emit.images import ImageWriter
from fuki_build.emit.keys import open_key
from fuki_build.emit.launch import build_launches
from fuki_build.emit.outputs import Output
from fuki_build.emit.plan import Plan, Result
from fuki_build.errors import RecipeError
from fuki_build.hardware.machine import Machine
from fuki_build.hooks.host import blame, loaded_machines
from fuki_build.hooks.records import Artifact, Build, BuiltImage, InputFile, OutputContext
from fuki_build.hooks.signers import SigningKey
from fuki_build.image.assemble import Assembly, Progress, read_pieces
from fuki_build.image.blob import Blob
from fuki_build.image.output_file import OutputFile
from fuki_build.recipe.inputs import Input
from fuki_build.recipe.text import render_template, template_directory


def write_outputs(plan: Plan, outputs: Sequence[Output], progress: Progress | None = None) -> Result:
    """Assemble the images, let every output tell about them, and give all files their names at the end."""
    with ExitStack() as stack:
        files = _Files(stack, plan.resolved.inputs.files)
        writer = ImageWriter(plan, outputs, progress)
        images = {id(layout): writer.write(layout, files.open) for layout in plan.layouts}
        build = _record(plan, images, writer)
        templates: list[Path] = []
        for output in outputs:
            _emit(plan, output, build, files, templates)
        artifacts = files.commit()
    return Result(artifacts, build, _dependencies(plan, templates))


class _Files:
    """The files in the making."""

    def __init__(self, stack: ExitStack, inputs: Sequence[Input]) -> None:
        self._stack = stack
        self._inputs = {item.path.resolve() for item in inputs}
        self._open: dict[Path, tuple[OutputFile, str]] = {}

    def open(self, path: Path, output: Output) -> OutputFile:
        target = path.resolve()
        if target in self._open:
            raise RecipeError(f"two outputs write {path}", where=output.where, hint="give each a path of its own")
        if target in self._inputs:
            raise RecipeError(f"the output would replace the input {path}", where=output.where)
        file = self._stack.enter_context(OutputFile(path))
        self._open[target] = (file, output.format.name)
        return file

    def commit(self) -> tuple[Artifact, ...]:
        # What can still fail comes first, so that names change all together or not at all.
        for file, _ in self._open.values():
            file.sync()
        for file, _ in self._open.values():
            file.commit()
        return tuple(Artifact(file.path, name) for file, name in self._open.values())


def _record(plan: Plan, images: Mapping[int, BuiltImage], writer: ImageWriter) -> Build:
    recipe = plan.loaded.recipe
    uki, addons = images[id(plan.uki)], tuple(images[id(addon)] for addon in plan.addons)
    return Build(
        name=recipe.name,
        version=recipe.version,
        variables=plan.loaded.variables,
        uki=uki,
        addons=addons,
        inputs=tuple(_inputs(plan, [image.assembly for image in images.values()], writer.kernel_digests)),
        tools=plan.host.versions(),
        findings=(*plan.findings, *writer.findings),
        firmware_origins=plan.resolved.firmware_origins,
        machines=_machines(plan),
        launches=tuple(build_launches(plan, uki, addons)),
    )


def _machines(plan: Plan) -> tuple[Machine, ...]:
    declared = [expectation.machine for expectation in plan.resolved.expectations]
    return tuple(dict.fromkeys([*declared, *loaded_machines(plan.host)]))


def _inputs(plan: Plan, assemblies: Sequence[Assembly], kernels: Mapping[Path, str]) -> list[InputFile]:
    """Every input once per place that names it; what was too large to read while planning has its digest by now."""
    read = {part.path: digest for assembly in assemblies for part, digest in assembly.inputs if part.offset == 0}
    read.update(kernels)
    return [InputFile(item.name, item.where, item.sha256 or read[item.path]) for item in plan.resolved.inputs.files]


def _emit(plan: Plan, output: Output, build: Build, files: _Files, templates: list[Path]) -> None:
    directory = plan.loaded.directory

    def write(path: Path, data: bytes | Blob) -> None:
        file = files.open(path, output)
        for piece in read_pieces(data) if isinstance(data, Blob) else (data,):
            file.write(piece)

    def render(name: str, variables: Mapping[str, Any]) -> str:
        text, used = render_template(name, variables, template_directories(plan), output.where)
        templates.extend(used)
        return text

    def key(table: Mapping[str, Any], option: str) -> SigningKey:
        return open_key(table, plan.host, plan.signing, f"{output.where}.{option}")

    context = OutputContext(output.path, directory, write, render, key)
    with blame(output.plugin.plugin, f"failed in output format {output.format.name!r}"):
        output.format.emit(output.options, build, context)


def template_directories(plan: Plan) -> list[Path]:
    """Where templates are looked for: the recipe's own first, the shipped ones last."""
    directory = plan.loaded.directory
    own = [directory, *(directory / name for name in plan.loaded.recipe.templates)]
    return [*own, *plan.host.template_directories(), template_directory()]


def _dependencies(plan: Plan, templates: Sequence[Path]) -> tuple[Path, ...]:
    inputs = plan.resolved.inputs
    kept = (
        *plan.loaded.files,
        *(i.path for i in inputs.files),
        *inputs.dependencies,
        *plan.signing.files,
        *plan.host.module_files(),
        *templates,
    )
    return tuple(path for path in dict.fromkeys(kept) if not path.is_relative_to(plan.workspace))
