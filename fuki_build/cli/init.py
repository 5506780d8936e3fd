"""`fuki init`: a commented recipe to start from."""

import re
from pathlib import Path

import click

from fuki_build.cli.render.plain import tell
from fuki_build.errors import RecipeError
from fuki_build.formats.documents import encode_json
from fuki_build.image.output_files import OutputFiles
from fuki_build.recipe.model import NAME
from fuki_build.recipe.text import render_template, template_directory

SCHEMA = "fuki.schema.json"


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False), default=Path())
@click.option("--name", help="Name of the image; by default the directory's.")
@click.option("--force", is_flag=True, help="Replace a recipe that is there.")
@click.pass_context
def init(ctx: click.Context, directory: Path, name: str | None, force: bool) -> None:
    """Write a starting fuki.toml into DIRECTORY, and its JSON Schema for editors.

    The schema has the options of the plugins loaded by --plugin.
    """
    path, schema_path = directory / "fuki.toml", directory / SCHEMA
    for existing in (path, schema_path):
        if existing.exists() and not force:
            raise RecipeError(f"{existing} is there already", hint="--force replaces it")
    name = name or re.sub(r"[^A-Za-z0-9._+~-]+", "-", directory.resolve().name).strip("-._+~") or "image"
    if not re.fullmatch(NAME, name):
        raise RecipeError(f"{name!r} cannot name an image", where="--name", hint="use letters, digits and ._+~-")

    from fuki_build import pipeline  # noqa: PLC0415 - what builds images is slow to load
    from fuki_build.recipe.schema import schema  # noqa: PLC0415 - as that

    text, _ = render_template("fuki.toml.j2", {"name": name, "schema": SCHEMA}, [template_directory()], str(path))
    with OutputFiles() as files:
        files.open(path).write(text.encode())
        files.open(schema_path).write(encode_json(schema(pipeline.new_host(ctx.obj))))
        files.commit()
    tell(f"wrote {path}; see what it makes with: fuki plan {directory}")
