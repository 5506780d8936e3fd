"""`fuki build`: write what was planned."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from fuki_build import pipeline
from fuki_build.builtin.outputs import MANIFEST_DIGESTS
from fuki_build.cli.caller_options import caller_of, caller_options
from fuki_build.cli.documents import BuildDocument, build_document
from fuki_build.cli.options import cell_option, json_option, output_type, recipe_argument
from fuki_build.cli.render.findings import show_findings, show_notes
from fuki_build.cli.render.progress import progress_bar
from fuki_build.cli.standard_output import file_for, is_standard_output, refuse_both, refuse_several, tell_artifacts
from fuki_build.errors import RecipeError
from fuki_build.formats.documents import Document
from fuki_build.image.digest_plan import NO_DIGESTS
from fuki_build.programs.cores import cores
from fuki_build.recipe.load import load_cells


def _documents() -> tuple[type[Document], ...]:
    from fuki_build.cli.matrix_documents import MatrixBuildDocument  # noqa: PLC0415 - most recipes have no matrix

    return BuildDocument, MatrixBuildDocument


@click.command()
@recipe_argument
@click.option(
    "-o", "--output", type=output_type, help="Where to write the image (or the only output); '-' is standard output."
)
@click.option("--only", metavar="FORMAT", multiple=True, help="Write only outputs of this format (repeatable).")
@click.option("--depfile", type=output_type, help="Write what the output depends on, in Make's syntax.")
@click.option("--unsigned", is_flag=True, help="Leave all signatures out, for 'fuki digests' and 'fuki attach'.")
@click.option("--keep-same", is_flag=True, help="Let an output be, with its times, whose content would stay the same.")
@cell_option
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(1),
    help="Of a matrix, images that are written at a time; by default as many as there are processors.",
)
@json_option(_documents)
@caller_options
@click.pass_obj
def build(  # noqa: PLR0917 - click passes them by name
    plugins: tuple[str, ...],
    /,
    recipe: Path | None,
    output: Path | None,
    only: tuple[str, ...],
    depfile: Path | None,
    unsigned: bool,
    keep_same: bool,
    cells: tuple[str, ...],
    jobs: int | None,
    as_json: bool,
    **given: Any,  # noqa: ANN401 - the options of `caller_options`
) -> int:
    """Build RECIPE's outputs: all of them, or none.

    What is given with options stands in place of the recipe's, so that generated files need no variables.

    Of a matrix, every cell is built, and of each all outputs or none: one that fails keeps no other from being built.

    RECIPE is a fuki.toml or mkosi.conf, or a directory that holds one; by default the current one.
    """
    refuse_both(output, as_json=as_json)
    loaded, *others = load_cells(recipe, caller_of(**given), cells)
    if loaded.cell is not None and (others or not is_standard_output(output)):
        from fuki_build.cli.matrix import build_matrix  # noqa: PLC0415 - most recipes have none

        if depfile is not None and others:
            hint = f"choose one with --cell, such as {loaded.cell.id}"
            raise RecipeError(
                f"a depfile is about one image, and there are {len(others) + 1}", where="--depfile", hint=hint
            )
        return build_matrix(
            (loaded, *others),
            plugins,
            only=only,
            output=output,
            depfile=depfile,
            unsigned=unsigned,
            keep_same=keep_same,
            threads=jobs or cores(),
            as_json=as_json,
        )

    with (
        pipeline.plan(loaded, plugins, unsigned=unsigned) as planned,
        nullcontext() if output is None else file_for(output) as path,
    ):
        if is_standard_output(output):
            refuse_several(pipeline.preview(planned, only=only, output=path))
        show_notes(planned.resolved.notes)
        show_findings(planned.findings, of_build=True)
        with progress_bar(sum(layout.file_size for layout in planned.layouts)) as progress:
            digests = MANIFEST_DIGESTS if as_json else NO_DIGESTS
            result = pipeline.build(
                planned,
                only=only,
                output=path,
                progress=progress,
                depfile=depfile,
                digests=digests,
                keep_same=keep_same,
            )
        show_findings(result.build.findings[len(planned.findings) :])
        if as_json:
            from fuki_build.cli.render.json import print_document  # noqa: PLC0415

            print_document(build_document(result))
        elif not is_standard_output(output):
            tell_artifacts(result)
    return 0
