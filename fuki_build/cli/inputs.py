"""`fuki inputs`: what every cell reads and writes, and the command that builds it."""

from pathlib import Path
from typing import Any

import click

from fuki_build import pipeline
from fuki_build.cli.caller_options import caller_of, caller_options
from fuki_build.cli.cell_commands import cell_choice, program, recipe_words
from fuki_build.cli.options import cell_option, json_option, recipe_argument
from fuki_build.errors import in_cell
from fuki_build.formats.documents import Document
from fuki_build.recipe.load import load_cells


def _document() -> type[Document]:
    from fuki_build.emit.hermetic import HermeticDocument  # noqa: PLC0415 - other verbs start without it

    return HermeticDocument


@click.command()
@recipe_argument
@cell_option
@json_option(_document)
@caller_options
@click.pass_obj
def inputs(
    plugins: tuple[str, ...],
    /,
    recipe: Path | None,
    cells: tuple[str, ...],
    as_json: bool,
    **given: Any,  # noqa: ANN401 - the options of `caller_options`
) -> None:
    """Tell what RECIPE's build reads, with digests, and what it writes.

    Each cell of a matrix is an action of its own.

    Reads every input once. With --json, each cell has its command, and what it needs beside inputs, such as keys.
    """
    from fuki_build.emit.hermetic import (  # noqa: PLC0415 - as above
        FileDigests,
        HermeticDocument,
        hermetic_cell,
        refuse_clashing,
    )

    loaded = load_cells(recipe, caller_of(**given), cells)
    command = program(plugins, "build") + recipe_words(recipe, given)
    digests = FileDigests()
    actions = []
    tools: dict[str, str] = {}
    with pipeline.plan_cells(loaded, plugins) as plans:
        for cell in plans:
            if cell.plan is None:
                raise cell.failure or AssertionError(cell)
            with in_cell(cell.loaded.cell_id), cell.loaded.origins.named():
                actions.append(hermetic_cell(cell.plan, [*command, *cell_choice(cell.loaded)], digests))
            tools |= cell.plan.host.versions()
        refuse_clashing({action.id: [output.path for output in action.outputs] for action in actions})

        document = HermeticDocument(tools=dict(sorted(tools.items())), cells=tuple(actions))
        if as_json:
            from fuki_build.cli.render.json import print_document  # noqa: PLC0415

            print_document(document)
        else:
            from fuki_build.cli.render.inputs import show_actions  # noqa: PLC0415

            show_actions(document)
