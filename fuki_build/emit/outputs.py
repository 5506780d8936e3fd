"""`[[fuki.output]]` tables: which formats, with which options, to which paths."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from fuki_build.emit.launch_needs import needs_image_file
from fuki_build.emit.plan import Plan
from fuki_build.errors import FukiError, RecipeError
from fuki_build.hooks.host import Contribution
from fuki_build.hooks.records import OutputFormat
from fuki_build.image.layout import Layout
from fuki_build.recipe.convert import keys
from fuki_build.recipe.model import OutputTable
from fuki_build.recipe.plugin_tables import read_plugin_table
from fuki_build.recipe.signing import refuse_kernels, resolve_signers
from fuki_build.signing.request import SignRequest

_DEFAULT: tuple[dict[str, Any], ...] = ({"format": "uki"}, {"format": "addon"})
_FROM_COMMAND_LINE = "--only"
_PATH_FROM_COMMAND_LINE = "--output"


class Output(Struct, frozen=True, kw_only=True):
    """One output: its format, options and path, the images that it writes, and what signs them.

    `where` is the place of its table, `path_where` of what says its path. `has_name` tells that either the recipe or
    the format says what its file is called.
    """

    format: OutputFormat
    contribution: Contribution[type[OutputFormat]]
    options: Any
    path: Path
    where: str
    path_where: str
    images: Mapping[Path, Layout]
    signers: tuple[SignRequest, ...] = ()
    has_name: bool = True

    @contextmanager
    def running(self) -> Iterator[None]:
        """Around what the format does: its errors name the place of the table, or of the option that they name."""
        try:
            with self.contribution.running():
                yield
        except FukiError as error:
            option = re.match(r"[^.\[]*", error.where or "")
            if not error.where:
                error.where = self.where
            elif option and option[0] in keys(type(self.options)):
                error.where = f"{self.where}.{error.where}"
            raise

    def place(self, option: str) -> str:
        """The place of an option, if the format has it; else that of the table."""
        return f"{self.where}.{option}" if option in keys(type(self.options)) else self.where


def paths_of(output: Output) -> Sequence[Path]:
    """The files that an output is known to write: its images, and its path where it tells about them."""
    tells = type(output.format).emit is not OutputFormat.emit
    return tuple(dict.fromkeys([*output.images, *([output.path] if tells else [])]))


def choose_outputs(plan: Plan, only: Sequence[str] = (), path: Path | None = None) -> tuple[Output, ...]:
    """The recipe's outputs, or the image and its addons; `only` limits them to formats.

    `path` is where the image goes, or the only output if that is another. What has no path of its own stands beside
    the image. Raises `RecipeError`.
    """
    tables = [(data, f"fuki.output[{i}]") for i, data in enumerate(plan.loaded.recipe.output)]
    tables = tables or [(data, "fuki.output") for data in _DEFAULT]
    if _is_beside(plan) and not any(data.get("format") == "uki" for data, _ in tables):
        tables.insert(0, ({"format": "uki"}, _FROM_COMMAND_LINE))
    image = path or _image_path(plan, tables)
    if only:
        tables = [(data, where) for data, where in tables if data.get("format") in only]
        present = {data["format"] for data, _ in tables}
        tables += [({"format": name}, _FROM_COMMAND_LINE) for name in only if name not in present]

    outputs = [_output(plan, data, where, image) for data, where in tables]
    if path is not None:
        outputs = _move(outputs, path)
    for output in outputs:
        if not output.has_name:
            hint = 'add path = "…" to it' if output.where != _FROM_COMMAND_LINE else "name it with --output"
            raise RecipeError(f"an output of format {output.format.name} needs a path", where=output.where, hint=hint)
    return tuple(_with_images(output, plan) for output in outputs)


def _image_path(plan: Plan, tables: Sequence[tuple[dict[str, Any], str]]) -> Path:
    recipe = plan.loaded.recipe
    cell = plan.loaded.cell
    stem = "_".join(part for part in (recipe.name, recipe.version, cell.stem if cell else "") if part)
    paths = [data["path"] for data, _ in tables if data.get("format") == "uki" and isinstance(data.get("path"), str)]
    return plan.loaded.directory / (paths[0] if paths else f"{stem}.efi")


def _is_beside(plan: Plan) -> bool:
    """Whether the recipe adds to what a caller builds: the image is always written, and everything else beside it."""
    return plan.loaded.caller is not None and plan.loaded.caller.outputs_beside


def _output(plan: Plan, data: dict[str, Any], where: str, image: Path) -> Output:
    key_place = where if where == _FROM_COMMAND_LINE else None
    output = read_plugin_table(data, "format", OutputTable, plan.host.output, where, key_place=key_place)
    table, kind = output.table, output.contribution.thing

    beside = image.with_name(image.name.removesuffix(".efi") + kind.suffix)
    # A recipe that adds to what a caller builds stands anywhere; what it writes belongs beside the image.
    directory = image.parent if _is_beside(plan) else plan.loaded.directory
    path = directory / table.path if table.path else beside
    return Output(
        format=kind(),
        contribution=output.contribution,
        options=output.options,
        path=path,
        where=where,
        path_where=where,
        images={},
        signers=_signers(plan, table, kind, where),
        has_name=bool(table.path or kind.suffix),
    )


def _signers(plan: Plan, table: OutputTable, kind: type[OutputFormat], where: str) -> tuple[SignRequest, ...]:
    """The recipe's signers, or the output's own."""
    if plan.unsigned or table.sign is False:
        return ()
    if table.sign is True:
        return plan.resolved.signers
    if kind.images is OutputFormat.images:
        hint = "the output that writes the image can have it, or [fuki.sign]"
        raise RecipeError(f"an output of format {kind.name} has no image to sign", where=f"{where}.sign", hint=hint)
    own = resolve_signers(table.sign, plan.host, f"{where}.sign")
    refuse_kernels(own)
    return own


def _move(outputs: list[Output], path: Path) -> list[Output]:
    """Put the image at `path`, or the only output if the image is not among them."""
    index = next((i for i, output in enumerate(outputs) if output.format.name == "uki"), 0)
    if outputs[index].format.name != "uki" and len(outputs) > 1:
        raise RecipeError("several outputs cannot go to one path", where="--output", hint="choose one with --only")
    moved = replace(outputs[index], path=path, path_where=_PATH_FROM_COMMAND_LINE, has_name=True)
    return [moved if i == index else output for i, output in enumerate(outputs)]


def _with_images(output: Output, plan: Plan) -> Output:
    with output.running():
        return replace(output, images=output.format.images(output.path, plan.uki, plan.addons))


def image_requests(plan: Plan, outputs: Sequence[Output]) -> Iterator[SignRequest]:
    """What signs whole images in a build with these outputs."""
    for output in outputs:
        if output.images:
            yield from output.signers
    if needs_file(plan, outputs):
        yield from plan.resolved.signers


def needs_file(plan: Plan, outputs: Sequence[Output]) -> bool:
    """Whether the image is to be read as a file, even where no output writes it."""
    return needs_image_file(plan.resolved.launches) or any(output.format.needs_image_file for output in outputs)
