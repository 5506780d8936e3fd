"""`fuki build`: write what was planned."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from fuki_build import pipeline
from fuki_build.builtin.outputs import MANIFEST_DIGESTS
from fuki_build.cli.caller_options import caller_of, caller_options
from fuki_build.cli.documents import BuildDocument, build_document
from fuki_build.cli.options import json_option, output_type, recipe_argument
from fuki_build.cli.render.findings import show_findings, show_notes
from fuki_build.cli.render.progress import progress_bar
from fuki_build.cli.standard_output import file_for, is_standard_output, refuse_both, refuse_several, tell_artifacts
from fuki_build.image.digest_plan import NO_DIGESTS
from fuki_build.recipe.load import load_recipe


@click.command()
@recipe_argument
@click.option(
    "-o", "--output", type=output_type, help="Where to write the image (or the only output); '-' is standard output."
)
@click.option("--only", metavar="FORMAT", multiple=True, help="Write only outputs of this format (repeatable).")
@click.option("--depfile", type=output_type, help="Write what the output depends on, in Make's syntax.")
@click.option("--unsigned", is_flag=True, help="Leave all signatures out, for 'fuki digests' and 'fuki attach'.")
@json_option(lambda: BuildDocument)
@caller_options
@click.pass_obj
def build(
    plugins: tuple[str, ...],
    /,
    recipe: Path | None,
    output: Path | None,
    only: tuple[str, ...],
    depfile: Path | None,
    unsigned: bool,
    as_json: bool,
    **given: Any,  # noqa: ANN401 - the options of `caller_options`
) -> None:
    """Build RECIPE's outputs: all of them, or none.

    What is given with options stands in place of the recipe's, so that generated files need no variables.

    RECIPE is a fuki.toml or mkosi.conf, or a directory that holds one; by default the current one.
    """
    refuse_both(output, as_json=as_json)
    loaded = load_recipe(recipe, caller_of(**given))
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
                planned, only=only, output=path, progress=progress, depfile=depfile, digests=digests
            )
        show_findings(result.build.findings[len(planned.findings) :])
        if as_json:
            from fuki_build.cli.render.json import print_document  # noqa: PLC0415

            print_document(build_document(result))
        elif not is_standard_output(output):
            tell_artifacts(result)
