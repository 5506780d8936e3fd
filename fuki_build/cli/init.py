"""`fuki init`: a commented recipe to start from."""

import re
from pathlib import Path

import click

from fuki_build.cli.render.plain import tell
from fuki_build.errors import RecipeError
from fuki_build.image.output_file import OutputFile
from fuki_build.recipe.model import NAME
from fuki_build.recipe.text import render_template, template_directory


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False), default=Path())
@click.option("--name", help="Name of the image; by default the directory's.")
@click.option("--force", is_flag=True, help="Replace a recipe that is there.")
def init(directory: Path, name: str | None, force: bool) -> None:
    """Write a starting fuki.toml into DIRECTORY."""
    path = directory / "fuki.toml"
    if path.exists() and not force:
        raise RecipeError(f"{path} is there already", hint="--force replaces it")
    name = name or re.sub(r"[^A-Za-z0-9._+~-]+", "-", directory.resolve().name).strip("-._+~") or "image"
    if not re.fullmatch(NAME, name):
        raise RecipeError(f"{name!r} cannot name an image", where="--name", hint="use letters, digits and ._+~-")
    text, _ = render_template("fuki.toml.j2", {"name": name}, [template_directory()], str(path))
    with OutputFile(path) as file:
        file.write(text.encode())
        file.commit()
    tell(f"wrote {path}; see what it makes with: fuki plan {directory}")
