"""`fuki export`: the cells of a recipe for other build systems."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fuki_build import pipeline
from fuki_build.cli.caller_options import caller_of, caller_options
from fuki_build.cli.cell_commands import cell_choice, program, recipe_words
from fuki_build.cli.options import cell_option, json_option, output_type, recipe_argument
from fuki_build.cli.render.plain import tell
from fuki_build.cli.standard_output import is_standard_output
from fuki_build.errors import RecipeError, in_cell
from fuki_build.formats.documents import encode_json
from fuki_build.image.output_file import OutputFile
from fuki_build.image.output_files import OutputFiles
from fuki_build.recipe.load import load_cells

if TYPE_CHECKING:
    from fuki_build.emit.ninja_file import NinjaEdge
    from fuki_build.emit.plan import CellPlan, Plan
    from fuki_build.emit.remote_actions import RemoteActionsDocument, RemoteCell
    from fuki_build.formats.remote_execution import RemoteBlobs

_MIB = 1024 * 1024


def _document() -> "type[RemoteActionsDocument]":
    from fuki_build.emit.remote_actions import RemoteActionsDocument  # noqa: PLC0415 - help starts without it

    return RemoteActionsDocument


@click.group()
def export() -> None:
    """Hand RECIPE's cells to another build system."""


@export.command()
@recipe_argument
@click.option(
    "-o", "--output", type=output_type, default="build.ninja", show_default=True, help="Where to write the file."
)
@click.option(
    "--heavy",
    type=click.IntRange(0),
    metavar="MIB",
    default=512,
    show_default=True,
    help="Cells whose images have so many MiB together are heavy.",
)
@click.option(
    "--heavy-jobs", type=click.IntRange(1), default=1, show_default=True, help="Heavy cells that are built at a time."
)
@cell_option
@caller_options
@click.pass_obj
def ninja(
    plugins: tuple[str, ...],
    /,
    recipe: Path | None,
    output: Path,
    heavy: int,
    heavy_jobs: int,
    cells: tuple[str, ...],
    **given: Any,  # noqa: ANN401 - the options of `caller_options`
) -> None:
    """Write a build.ninja in which each cell of RECIPE is an edge.

    Run ninja in the same directory. It builds the cells whose inputs have changed, and writes the file anew when the
    recipe has.
    """
    from fuki_build.emit.hermetic import refuse_clashing  # noqa: PLC0415 - help starts without it
    from fuki_build.emit.ninja_file import NinjaEdge, encode  # noqa: PLC0415 - as above

    _refuse_standard_output(output)
    loaded = load_cells(recipe, caller_of(**given), cells)
    words = recipe_words(recipe, given)
    command = program(plugins, "build") + words
    with pipeline.plan_cells(loaded, plugins) as plans:
        edges = []
        for cell in plans:
            if cell.plan is None:
                raise cell.failure or AssertionError(cell)
            with in_cell(cell.loaded.cell_id), cell.loaded.origins.named():
                edges.append(_cell_edge(cell.plan, command, heavy * _MIB))
        refuse_clashing({edge.name: edge.outputs for edge in edges})

        choices = [word for pattern in cells for word in ("--cell", pattern)]
        limits = ["--heavy", str(heavy), "--heavy-jobs", str(heavy_jobs)]
        again = NinjaEdge(
            name="export",
            command=[*program(plugins, "export", "ninja"), *words, *choices, *limits, "--output", str(output)],
            inputs=list(dict.fromkeys(str(path) for cell in loaded for path in cell.files)),
            outputs=[str(output)],
            depfile="",
            heavy=False,
        )
        text = encode(edges, again, heavy_jobs)
        with OutputFile(output) as file:
            file.write(text.encode())
            file.commit()
    tell(f"wrote {output} ({len(edges)} {'cell' if len(edges) == 1 else 'cells'})")


def _cell_edge(plan: "Plan", command: Sequence[str], heavy: int) -> "NinjaEdge":
    """A cell as an edge; the directory of its first output has its depfile until ninja has read it."""
    from fuki_build.emit.hermetic import input_paths  # noqa: PLC0415 - as above
    from fuki_build.emit.ninja_file import NinjaEdge  # noqa: PLC0415 - as above
    from fuki_build.emit.outputs import choose_outputs, paths_of  # noqa: PLC0415 - as above

    outputs = choose_outputs(plan)
    paths = list(dict.fromkeys(str(path) for output in outputs for path in paths_of(output)))
    depfile = f"{paths[0]}.d"
    return NinjaEdge(
        name=plan.loaded.cell_id or plan.loaded.recipe.name,
        command=[*command, *cell_choice(plan.loaded), "--keep-same", "--depfile", depfile],
        inputs=input_paths(plan, outputs),
        outputs=paths,
        depfile=depfile,
        heavy=sum(layout.file_size for layout in plan.layouts) >= heavy,
    )


@export.command()
@recipe_argument
@click.option("-o", "--output", type=output_type, default="reapi", show_default=True, help="The directory to write to.")
@click.option("--fuki", "program_", metavar="PATH", default="fuki", show_default=True, help="fuki on the workers.")
@click.option(
    "--platform",
    metavar="NAME=VALUE",
    multiple=True,
    default=["OSFamily=linux"],
    show_default=True,
    help="A property that workers must have (repeatable).",
)
@click.option(
    "--env",
    metavar="NAME=VALUE",
    multiple=True,
    default=["PATH=/usr/local/bin:/usr/bin:/bin"],
    show_default=True,
    help="A variable of the command (repeatable).",
)
@cell_option
@json_option(_document)
@caller_options
@click.pass_obj
def reapi(  # noqa: PLR0917 - click passes them by name
    plugins: tuple[str, ...],
    /,
    recipe: Path | None,
    output: Path,
    program_: str,
    platform: tuple[str, ...],
    env: tuple[str, ...],
    cells: tuple[str, ...],
    as_json: bool,
    **given: Any,  # noqa: ANN401 - the options of `caller_options`
) -> None:
    """Write each cell of RECIPE as an action of the Remote Execution API.

    DIRECTORY/blobs has the messages, DIRECTORY/actions.json tells about them, and a script for each cell has trexe, of
    BuildBox, execute it. The current directory is the input root.

    No action gets a key: what the recipe signs is built with --unsigned, to be signed with 'fuki attach'.
    """
    from fuki_build.emit.remote_actions import RemoteActionsDocument  # noqa: PLC0415 - as above
    from fuki_build.formats.remote_execution import RemoteBlobs  # noqa: PLC0415 - as above

    _refuse_standard_output(output)
    _refuse_absolute(given)
    loaded = load_cells(recipe, caller_of(**given), cells)
    command = [program_, *program(plugins, "build")[1:], *recipe_words(recipe, given), "--unsigned"]
    blobs = RemoteBlobs()
    with pipeline.plan_cells(loaded, plugins, unsigned=True) as plans:
        actions = _remote_cells(plans, command, pairs("--env", env), pairs("--platform", platform), blobs)
        document = RemoteActionsDocument(tuple(actions))
        _write_actions(output, document, blobs)

    if as_json:
        from fuki_build.cli.render.json import print_document  # noqa: PLC0415 - as above

        print_document(document)
        return
    tell(f"wrote {output} ({len(actions)} {'action' if len(actions) == 1 else 'actions'})")
    if any(action.signs for action in actions):
        tell("the images will be unsigned: sign them with 'fuki digests' and 'fuki attach'")


def _remote_cells(
    plans: "Sequence[CellPlan]",
    command: Sequence[str],
    environment: Mapping[str, str],
    platform: Mapping[str, str],
    blobs: "RemoteBlobs",
) -> "list[RemoteCell]":
    from fuki_build.emit.hermetic import FileDigests, hermetic_cell, refuse_clashing  # noqa: PLC0415 - as above
    from fuki_build.emit.remote_actions import RemoteSetting, remote_cell  # noqa: PLC0415 - as above

    digests = FileDigests()
    actions = []
    for cell in plans:
        plan = cell.plan
        if plan is None:
            raise cell.failure or AssertionError(cell)
        recipe = plan.loaded.recipe
        signs = bool(recipe.sign or recipe.pcr_policy or any(table.get("sign") for table in recipe.output))
        own = {name: value for name, value in plan.signing.environment.items() if name in recipe.environment}
        # Another version of fuki may build other bytes of the same inputs.
        salt = " ".join(f"{name}=={version}" for name, version in sorted(plan.host.versions().items()))
        setting = RemoteSetting(environment={**environment, **own}, platform=platform, salt=salt)
        with in_cell(cell.loaded.cell_id), cell.loaded.origins.named():
            hermetic = hermetic_cell(plan, [*command, *cell_choice(cell.loaded)], digests)
            actions.append(remote_cell(hermetic, setting, blobs, signs=signs))
    refuse_clashing({action.id: action.outputs for action in actions})
    return actions


def _write_actions(directory: Path, document: "RemoteActionsDocument", blobs: "RemoteBlobs") -> None:
    from fuki_build.emit.remote_actions import script_names, trexe_script  # noqa: PLC0415 - as above

    with OutputFiles() as files:
        for name, content in sorted(blobs.contents.items()):
            files.open(directory / "blobs" / name).write(content)
        for name, cell in zip(script_names(document.cells), document.cells, strict=True):
            files.open(directory / name, 0o777).write(trexe_script(cell).encode())
        files.open(directory / "actions.json").write(encode_json(document))
        files.commit()


def _refuse_standard_output(output: Path) -> None:
    """What is exported is found again under its name."""
    if is_standard_output(output):
        raise click.UsageError("--output cannot be standard output here; name a path.")


def _refuse_absolute(given: Mapping[str, Any]) -> None:
    """Options go to workers as they are."""
    for name, value in given.items():
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, Path) and item.is_absolute():
                option = f"--{name.replace('_', '-')}"
                raise RecipeError(
                    f"{item} is absolute, and workers have it elsewhere",
                    where=option,
                    hint="name it relative to the current directory",
                )


def pairs(option: str, texts: Sequence[str]) -> dict[str, str]:
    """`NAME=VALUE` of an option that is repeated. Raises `click.UsageError`."""
    named = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.UsageError(f"{option} wants NAME=VALUE, not {text!r}.")
        named[name] = value
    return named
