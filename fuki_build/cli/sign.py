"""`fuki sign`: sign any PE image with any signing backend."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from fuki_build import pipeline
from fuki_build.checks.signatures import doubts
from fuki_build.cli.options import cell_option, digest_option, output_type
from fuki_build.cli.render.findings import show_findings
from fuki_build.cli.render.plain import tell
from fuki_build.cli.render.progress import progress_bar
from fuki_build.cli.signer_options import signer_options
from fuki_build.cli.standard_output import file_for, tell_written
from fuki_build.errors import RecipeError
from fuki_build.hooks.signers import SigningContext
from fuki_build.image.inspect import inspect
from fuki_build.image.layout import Layout
from fuki_build.recipe.load import load_recipe
from fuki_build.recipe.signing import resolve_signer, resolve_signers
from fuki_build.signing.request import Signer, SignRequest, open_signers, signing_context

_WHERE = "sign"


@click.command()
@click.argument("images", metavar="IMAGE…", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--recipe",
    type=click.Path(path_type=Path),
    help="Take the signers of this recipe's [fuki.sign]; by default, without a backend, of the current directory's.",
)
@cell_option
@signer_options()
@digest_option
@click.option("--replace", is_flag=True, help="Remove the signatures that an image has; by default they stay.")
@click.option("--again", is_flag=True, help="Add a signature even where the same one is there already.")
@click.option(
    "-o",
    "--output",
    type=output_type,
    help="Where to write a single image; by default it is replaced; '-' is standard output.",
)
@click.pass_obj
def sign(  # noqa: PLR0917 - click passes them by name
    plugins: tuple[str, ...],
    images: tuple[Path, ...],
    recipe: Path | None,
    cells: tuple[str, ...],
    signer: dict[str, Any],
    digest: str,
    replace: bool,
    again: bool,
    output: Path | None,
) -> None:
    """Sign IMAGE…, any PE image: UKI, addon, boot loader or kernel.

    Paths are relative to the current directory, those of a recipe to the recipe. An image that has all these signatures
    already stays as it is.
    """
    if output is not None and len(images) > 1:
        raise click.UsageError("--output is for a single image.")
    if not signer and _is_given("digest"):
        raise click.UsageError("--digest is for a backend that the command line names; a recipe has the key 'digest'.")
    table = {"digest": digest, **signer} if signer else {}

    with _signers(plugins, recipe, cells, table) as (signers, context):
        for image in images:
            layout = inspect(image)
            missing = signers if replace or again else _missing(layout, signers)
            if not missing:
                tell(f"{image} is signed with this key already: it stays as it is (--again adds a signature)")
                if output is None:
                    continue
            with file_for(output or image, image.name) as path:
                _sign(layout, path, missing, context, replace=replace)
            tell_written(output or image)


def _missing(layout: Layout, signers: Sequence[Signer]) -> Sequence[Signer]:
    from fuki_build.signing.authenticode.finished_image import missing_signers  # noqa: PLC0415 - as below

    with progress_bar(layout.file_size) as progress:
        return missing_signers(layout, signers, progress)


def _sign(layout: Layout, target: Path, signers: Sequence[Signer], context: SigningContext, *, replace: bool) -> None:
    from fuki_build.signing.authenticode.finished_image import (  # noqa: PLC0415 - cryptography is slow to load
        sign_image,
    )

    with progress_bar(layout.file_size) as progress:
        sign_image(layout, target, signers, context, progress, replace=replace)


@contextmanager
def _signers(
    plugins: Sequence[str], recipe: Path | None, cells: tuple[str, ...], given: dict[str, Any]
) -> Iterator[tuple[Sequence[Signer], SigningContext]]:
    """The signers of the command line, or of the recipe, ready to sign."""
    host = pipeline.new_host(plugins)
    directory = Path()
    requests: tuple[SignRequest, ...]
    if given:
        if recipe is not None:
            raise click.UsageError("--recipe and options of a backend exclude each other.")
        requests = (resolve_signer(given, host, _WHERE),)
    else:
        loaded = load_recipe(recipe, None, cells)
        host.load(loaded.recipe.plugins)
        directory = loaded.directory
        requests = resolve_signers(loaded.recipe.sign, host, "fuki.sign")
        if not requests:
            raise RecipeError("the recipe has no signer", where="fuki.sign", hint="add [fuki.sign], or give --key")
    from fuki_build.signing.authenticode.sign import check_key  # noqa: PLC0415 - cryptography is slow to load

    with signing_context(directory) as context:
        signers = open_signers(requests, context)
        for signer in signers:
            check_key(signer)
            show_findings(doubts(signer))
        yield signers, context


def _is_given(parameter: str) -> bool:
    return click.get_current_context().get_parameter_source(parameter) is ParameterSource.COMMANDLINE
