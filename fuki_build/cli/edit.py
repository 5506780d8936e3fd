"""`fuki edit`: change a finished image."""

import re
from pathlib import Path
from typing import Any

import click

from fuki_build import pipeline
from fuki_build.builtin.outputs import MANIFEST_DIGESTS
from fuki_build.cli.documents import BuildDocument, build_document
from fuki_build.cli.options import cell_option, digest_option, json_option, output_type
from fuki_build.cli.render.findings import show_findings, show_notes
from fuki_build.cli.render.progress import progress_bar
from fuki_build.cli.signer_options import signer_options
from fuki_build.cli.standard_output import file_for, is_standard_output, refuse_both, refuse_several, tell_artifacts
from fuki_build.errors import FukiError
from fuki_build.image.digest_plan import NO_DIGESTS
from fuki_build.recipe.caller import Caller
from fuki_build.recipe.edits import Edits, at_options, caller_of, refuse_replacing
from fuki_build.recipe.load import load_recipe, recipe_of

_path = click.Path(path_type=Path)


@click.command()
@click.argument("image", type=_path)
@click.option(
    "--set",
    "assignments",
    metavar="SECTION[@PROFILE]=TEXT|@FILE",
    multiple=True,
    help="A section, in place of the image's (repeatable).",
)
@click.option("--add-initrd", metavar="FILE", type=_path, multiple=True, help="An initrd behind the image's.")
@click.option(
    "--remove",
    metavar="SECTION[:KEY][@PROFILE]",
    multiple=True,
    help="Leave a section out, or with @PROFILE alone a profile (repeatable).",
)
@click.option("--add-profile", metavar="ID[=TITLE]", multiple=True, help="A further profile (repeatable).")
@click.option("--stub", type=_path, help="A stub, in place of the image's.")
@click.option("--no-hand-over", is_flag=True, help="Leave the hand-over program out: the image starts as its stub.")
@click.option(
    "--firmware", metavar="[ID=]FILE", multiple=True, help="Firmware, in place of the image's of that id, if any."
)
@click.option("--platform", "platforms", metavar="NAME[:SELECTOR]", multiple=True, help="Machines that select it.")
@click.option("--machine", "machines", metavar="FILE", type=_path, multiple=True, help="A machine that selects it.")
@click.option("--chid", "chids", metavar="UUID", multiple=True, help="A hardware id that selects it.")
@click.option("--silence", metavar="ID", multiple=True, help="Leave out the findings of a check (repeatable).")
@click.option("--recipe", type=_path, help="A partial recipe: its tables are added to the image and win.")
@cell_option
@signer_options()
@digest_option
@click.option("-o", "--output", type=output_type, help="Where to write the new image; '-' is standard output.")
@click.option("--in-place", is_flag=True, help="Replace IMAGE by the new one.")
@json_option(lambda: BuildDocument)
@click.pass_obj
def edit(  # noqa: PLR0917 - click passes them by name
    plugins: tuple[str, ...],
    image: Path,
    assignments: tuple[str, ...],
    add_initrd: tuple[Path, ...],
    remove: tuple[str, ...],
    add_profile: tuple[str, ...],
    stub: Path | None,
    no_hand_over: bool,
    firmware: tuple[str, ...],
    platforms: tuple[str, ...],
    machines: tuple[Path, ...],
    chids: tuple[str, ...],
    silence: tuple[str, ...],
    recipe: Path | None,
    cells: tuple[str, ...],
    signer: dict[str, Any],
    digest: str,
    output: Path | None,
    in_place: bool,
    as_json: bool,
) -> None:
    """Make a new image of IMAGE, a UKI or addon of anyone's, in which some things are others.

    Places and checks are those of a build. Signatures, and PCR policies that do not hold any more, are left out.
    Wherever a FILE is wanted, a section of an image is taken, too: other.efi:.initrd.
    """
    if (output is None) != in_place:
        raise click.UsageError("Give --output, or --in-place to replace the image.")
    if output is not None:
        refuse_replacing(image, output)

    refuse_both(output, as_json=as_json)
    target = image if output is None else output
    caller = caller_of(
        Edits(
            image=image,
            name=_name(image if is_standard_output(output) else target),
            set=assignments,
            remove=remove,
            no_hand_over=no_hand_over,
            add_initrd=add_initrd,
            add_profile=add_profile,
            stub=stub,
            firmware=firmware,
            platforms=platforms,
            machines=machines,
            chids=chids,
            silence=silence,
            sign={"digest": digest, **signer} if signer else {},
            beside_recipe=recipe is not None,
        )
    )

    try:
        if is_standard_output(output):
            with file_for(target, image.name) as path:
                _build(caller, recipe, cells, plugins, path, None, printed=True)
        else:
            _build(caller, recipe, cells, plugins, target, image if in_place else None, as_json=as_json)
    except FukiError as error:
        if recipe is None:
            at_options(error)
        raise


def _build(
    caller: Caller,
    recipe: Path | None,
    cells: tuple[str, ...],
    plugins: tuple[str, ...],
    target: Path,
    edits: Path | None,
    *,
    as_json: bool = False,
    printed: bool = False,
) -> None:
    """Make the image; one that is `printed` goes to standard output, and is all that is made."""
    loaded = recipe_of(caller) if recipe is None else load_recipe(recipe, caller, cells)
    with pipeline.plan(loaded, plugins) as planned:
        if printed:
            refuse_several(pipeline.preview(planned, output=target))
        show_notes(planned.resolved.notes)
        show_findings(planned.findings, of_build=True)
        with progress_bar(sum(layout.file_size for layout in planned.layouts)) as progress:
            digests = MANIFEST_DIGESTS if as_json else NO_DIGESTS
            result = pipeline.build(planned, output=target, progress=progress, digests=digests, edits=edits)
        show_findings(result.build.findings[len(planned.findings) :])
        if as_json:
            from fuki_build.cli.render.json import print_document  # noqa: PLC0415

            print_document(build_document(result))
        elif not printed:
            tell_artifacts(result)


def _name(path: Path) -> str:
    """A name for the recipe, where it gives none."""
    return re.sub(r"[^A-Za-z0-9._+~-]", "_", path.name.removesuffix(".efi")).lstrip("._+~-") or "image"
