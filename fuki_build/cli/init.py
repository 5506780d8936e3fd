"""`fuki init`: a commented recipe to start from."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fuki_build.cli.render.plain import tell
from fuki_build.errors import RecipeError
from fuki_build.formats.documents import encode_json
from fuki_build.image.output_files import OutputFiles
from fuki_build.recipe.model import NAME
from fuki_build.recipe.text import is_template, render_template, template_directory

if TYPE_CHECKING:
    from fuki_build.cli.beginnings import Beginning

SCHEMA = "fuki.schema.json"
AUTO = "auto"


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False), default=Path())
@click.option("--name", help="Name of the image; by default the directory's.")
@click.option(
    "--from",
    "source",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Start from a UKI, or from what a ukify.conf or mkosi.conf says.",
)
@click.option("--force", is_flag=True, help="Replace a recipe that is there.")
@click.pass_context
def init(ctx: click.Context, directory: Path, name: str | None, source: Path | None, force: bool) -> None:
    """Write a starting fuki.toml into DIRECTORY, and its JSON Schema for editors.

    It names the stub, kernel, initrd and os-release that this machine has, or those of --from. The schema has the
    options of the plugins loaded by --plugin.
    """
    path, schema_path = directory / "fuki.toml", directory / SCHEMA
    for existing in (path, schema_path):
        if existing.exists() and not force:
            raise RecipeError(f"{existing} is there already", hint="--force replaces it")

    from fuki_build import pipeline  # noqa: PLC0415 - what builds images is slow to load
    from fuki_build.cli.beginnings import machine_parts, read_beginning  # noqa: PLC0415 - as that
    from fuki_build.recipe.schema import schema  # noqa: PLC0415 - as that

    beginning = machine_parts() if source is None else read_beginning(source)
    given = name or beginning.name or directory.resolve().name
    name = given if name else re.sub(r"[^A-Za-z0-9._+~-]+", "-", given).strip("-._+~") or "image"
    if not re.fullmatch(NAME, name):
        raise RecipeError(f"{name!r} cannot name an image", where="--name", hint="use letters, digits and ._+~-")

    variables = {"name": name, "schema": SCHEMA, "parts": _quoted(beginning, directory), "quote": quote}
    text, _ = render_template("fuki.toml.j2", variables, [template_directory()], str(path))
    with OutputFiles() as files:
        files.open(path).write(text.encode())
        files.open(schema_path).write(encode_json(schema(pipeline.new_host(ctx.obj))))
        files.commit()

    for note in beginning.notes:
        tell(note)
    tell(f"wrote {path}; see what it makes with: fuki plan {directory}")
    if beginning.missing:
        missing = ", ".join(beginning.missing)
        tell(f"still to do: {missing}, put the right paths into {path}; or start from an image, with --from")


def quote(text: str) -> str:
    """A text as a string of TOML, whose braces are no template's."""
    if is_template(text):
        text = f"{{% raw %}}{text}{{% endraw %}}"
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _quoted(beginning: "Beginning", directory: Path) -> dict[str, Any]:
    """The parts as a recipe in `directory` names them."""

    def path(text: str | None) -> str | None:
        if text is None or text == AUTO:
            return text and quote(text)
        own = Path(text)
        # What is beside the recipe keeps its place with it.
        inside = own.is_relative_to(directory.resolve())
        return quote(str(own.relative_to(directory.resolve()) if inside else own))

    return {
        "base": path(beginning.base),
        "stub": path(beginning.stub),
        "linux": path(beginning.linux),
        "initrd": [path(text) for text in beginning.initrd],
        "os_release": path(beginning.os_release),
        "cmdline": None if beginning.cmdline is None else quote(beginning.cmdline),
        "version": None if beginning.version is None else quote(beginning.version),
    }
