"""`fuki export`: the cells of a recipe for other build systems."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fuki_build import pipeline
from fuki_build.cli.caller_options import caller_of, caller_options
from fuki_build.cli.cell_commands import cell_choice, program, recipe_words
from fuki_build.cli.options import cell_option, output_type, recipe_argument
from fuki_build.cli.render.plain import tell
from fuki_build.errors import in_cell
from fuki_build.image.output_file import OutputFile
from fuki_build.recipe.load import load_cells

if TYPE_CHECKING:
    from fuki_build.emit.ninja_file import NinjaEdge
    from fuki_build.emit.plan import Plan

_MIB = 1024 * 1024


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
