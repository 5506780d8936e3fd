"""Cells as actions: what each reads, by digest, the command that builds it, and what it writes.

Build systems that run actions elsewhere, or keep their results, want to know all three beforehand. What an action needs
beside its inputs is told as well: keys, which never are inputs, and what comes from somewhere else.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from fuki_build.emit.outputs import Output, choose_outputs, image_requests, paths_of
from fuki_build.emit.plan import Plan
from fuki_build.errors import RecipeError
from fuki_build.formats.documents import Document, View
from fuki_build.image.blob import Blob, Identity, identity
from fuki_build.image.reading import read_pieces
from fuki_build.recipe.text import template_files

_LOCAL_SOURCES = frozenset({"directory", "file"})
"""Firmware sources that read files where the recipe names them, and nothing else."""


class HermeticInput(View, frozen=True):
    """A file that an action reads: `path` as the command sees it, `sha256` in hex, `size` in bytes."""

    path: str
    sha256: str
    size: int


class HermeticOutput(View, frozen=True):
    """A file, or a directory of files, that an action writes, and the output format that it is of."""

    path: str
    format: str


class HermeticNeed(View, frozen=True):
    """What an action needs beside its inputs: `kind` is `key`, `source` (of firmware) or `environment`.

    `name` is the place of the key, the fwid, or the variable.
    """

    kind: str
    name: str


class HermeticCell(View, frozen=True, kw_only=True):
    """A cell as an action: `id` is that of the matrix, or the recipe's name where there is none.

    `variables` are what texts have as `matrix.NAME`; `command` is to run in the directory that paths are relative to.
    Without `needs`, inputs and command decide every byte of the outputs.
    """

    id: str
    variables: Mapping[str, str]
    command: tuple[str, ...]
    inputs: tuple[HermeticInput, ...]
    outputs: tuple[HermeticOutput, ...]
    needs: tuple[HermeticNeed, ...]


class HermeticDocument(Document, frozen=True, kw_only=True):
    """Of `fuki inputs`: each cell as an action; `tools` are the versions of fuki and its plugins."""

    tools: Mapping[str, str]
    cells: tuple[HermeticCell, ...]


class FileDigests:
    """Digests of files, each read once however many cells have it."""

    def __init__(self) -> None:
        self._known: dict[Identity, str] = {}

    def input(self, path: Path) -> HermeticInput:
        """Raises `FukiError` for a file that cannot be read."""
        content = Blob.of_file(path)
        key = identity(path.stat())
        if key not in self._known:
            digest = hashlib.sha256()
            for piece in read_pieces(content):
                digest.update(piece)
            self._known[key] = digest.hexdigest()
        return HermeticInput(str(path), self._known[key], content.size)


def hermetic_cell(plan: Plan, command: Sequence[str], digests: FileDigests) -> HermeticCell:
    """A plan as an action. Reads every input that is not among `digests`; raises `FukiError`."""
    cell = plan.loaded.cell
    outputs = choose_outputs(plan)
    return HermeticCell(
        id=plan.loaded.recipe.name if cell is None else cell.id,
        variables={} if cell is None else cell.variables,
        command=tuple(command),
        inputs=tuple(digests.input(Path(path)) for path in input_paths(plan, outputs)),
        outputs=tuple(HermeticOutput(str(path), o.format.name) for o in outputs for path in paths_of(o)),
        needs=tuple(dict.fromkeys(_needs(plan, outputs))),
    )


def input_paths(plan: Plan, outputs: Sequence[Output]) -> list[str]:
    """The files that building `outputs` reads, sorted; keys are not among them."""
    return sorted({str(path) for path in _files(plan, outputs)})


def _files(plan: Plan, outputs: Sequence[Output]) -> Iterator[Path]:
    """The recipe's files and what it leads to; not what was made in the workspace, which is gone by then."""
    inputs = plan.resolved.inputs
    named = (*plan.loaded.files, *(item.path for item in inputs.files), *inputs.dependencies)
    yield from (path for path in named if not path.is_relative_to(plan.workspace) and not path.is_dir())
    if plan.offline_policies:
        yield from _public_keys(plan)
    for output in outputs:
        yield from (plan.loaded.directory / name for name in output.format.files(output.options))
        names = output.format.templates(output.options)
        if names:
            yield from template_files(names, plan.template_directories, output.where)


def _public_keys(plan: Plan) -> Iterator[Path]:
    """What stands for the keys of policies that are signed elsewhere. Raises `RecipeError` where there is none."""
    for index, table in enumerate(plan.loaded.recipe.pcr_policy):
        where = f"fuki.pcr-policy[{index}]"
        if "public-key" not in table:
            hint = f"give {where}.public-key"
            raise RecipeError("without its public key, the key itself would have to be read", where=where, hint=hint)
        yield plan.loaded.directory / table["public-key"]


def _needs(plan: Plan, outputs: Sequence[Output]) -> Iterator[HermeticNeed]:
    for request in image_requests(plan, outputs):
        yield HermeticNeed("key", request.where)

    for output in outputs:
        # Formats that sign what they tell have a table with a backend among their options.
        for option in getattr(output.options, "__struct_fields__", ()):
            table = getattr(output.options, option)
            if isinstance(table, Mapping) and "backend" in table:
                yield HermeticNeed("key", f"{output.where}.{option}")

    for reservation in () if plan.offline_policies else plan.resolved.policies:
        for key in reservation.keys:
            yield HermeticNeed("key", key.request.signer.where)

    for fwid, origin in plan.resolved.firmware_origins.items():
        if origin.get("source") not in _LOCAL_SOURCES:
            yield HermeticNeed("source", fwid)

    for name in plan.loaded.recipe.environment:
        yield HermeticNeed("environment", name)


def refuse_clashing(outputs: Mapping[str, Iterable[str]]) -> None:
    """Raise `RecipeError` where two cells write one path; `outputs` has the paths of each, by its id."""
    owners: dict[str, str] = {}
    for cell, paths in outputs.items():
        for path in paths:
            owner = owners.setdefault(os.path.abspath(path), cell)  # noqa: PTH100 - links stay what they are
            if owner != cell:
                hint = "give each a path of its own, with {{ matrix.NAME }} in it"
                problem = f"the cells {owner} and {cell} both write {path}"
                raise RecipeError(problem, where="fuki.output", hint=hint)
