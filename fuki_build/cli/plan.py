"""`fuki plan`: the exact layout, without building."""

from pathlib import Path

import click

from fuki_build import pipeline
from fuki_build.cli.documents import PlanDocument, plan_document
from fuki_build.cli.options import cell_option, json_option, recipe_argument
from fuki_build.cli.render.findings import show_findings, show_notes
from fuki_build.errors import RecipeError, in_cell
from fuki_build.formats.documents import Document
from fuki_build.hooks.rules import Severity
from fuki_build.recipe.load import load_cells


def _documents() -> tuple[type[Document], ...]:
    from fuki_build.cli.matrix_documents import MatrixPlanDocument  # noqa: PLC0415 - most recipes have no matrix

    return PlanDocument, MatrixPlanDocument


@click.command()
@recipe_argument
@cell_option
@click.option("--unsigned", is_flag=True, help="Leave all signatures out, as 'fuki build --unsigned' does.")
@json_option(_documents)
@click.option("--svg", "picture", flag_value="svg", help="Print a picture of the layout, SVG.")
@click.option("--html", "picture", flag_value="html", help="Print a picture of the layout, HTML.")
@click.pass_obj
def plan(
    plugins: tuple[str, ...],
    recipe: Path | None,
    cells: tuple[str, ...],
    unsigned: bool,
    as_json: bool,
    picture: str | None,
) -> int:
    """Show what building RECIPE would write: every section of its image, which files go where, and who signs.

    Of a matrix, show all cells, and what they share; of a single one that --cell chooses, its sections.

    RECIPE is a fuki.toml or mkosi.conf, or a directory that holds one; by default the current one.
    Reads headers and certificates only: no key is asked for a signature, so nobody is asked for a passphrase or PIN,
    and no service is contacted. Exits with 1 if the checks find errors, as 'fuki build' would.
    """
    if as_json and picture:
        raise click.UsageError("--json and a picture cannot be had at once.")
    loaded, *others = load_cells(recipe, None, cells)
    if others or (loaded.cell is not None and as_json):
        from fuki_build.cli.matrix import plan_matrix  # noqa: PLC0415 - most recipes have no matrix

        if picture:
            hint = f"choose one with --cell, such as {loaded.cell_id}"
            raise RecipeError(
                f"a picture is of one image, and there are {len(others) + 1}", where=f"--{picture}", hint=hint
            )
        return plan_matrix((loaded, *others), plugins, unsigned=unsigned, as_json=as_json)

    with in_cell(loaded.cell_id), pipeline.plan(loaded, plugins, unsigned=unsigned) as planned:
        preview = pipeline.preview(planned)
        if as_json:
            from fuki_build.cli.render.json import print_document  # noqa: PLC0415

            print_document(plan_document(planned, preview))
        elif picture:
            from fuki_build.cli.render.picture import picture_of  # noqa: PLC0415

            click.echo(picture_of(planned, picture).encode(errors="backslashreplace"), nl=False)
        else:
            from fuki_build.cli.render.preview import show_preview  # noqa: PLC0415
            from fuki_build.cli.render.tables import show_view  # noqa: PLC0415

            for view in planned.views:
                show_view(view)
            show_preview(preview)
        show_notes(planned.resolved.notes)
        show_findings(planned.findings)
        return int(any(finding.severity is Severity.ERROR for finding in planned.findings))
