"""mkosi: `[Fuki]` of an unchanged `mkosi build` reaches the image that mkosi makes."""

from collections.abc import Iterator
from pathlib import Path

from fuki_build.errors import RecipeError
from fuki_build.image.output_file import OutputFile
from fuki_build.integrate.drop_in import write_drop_in
from fuki_build.recipe.caller import Caller
from fuki_build.recipe.load import load_recipe
from fuki_build.recipe.mkosi_files import TREE, find_sections

CONFIGURATION = "mkosi.conf.d/50-fuki.conf"
# mkosi looks for ukify here, and shows its sandbox these directories: the second is the project, whose [Fuki] and
# firmware would not be visible there otherwise.
_TEXT = f"""\
# Written by 'fuki integrate mkosi': ukify is fuki, with what [Fuki] says.
[Build]
ExtraSearchPaths={TREE},.
"""


def integrate(directory: Path) -> Iterator[Path]:
    """Put fuki into an mkosi project; yields what was written. Raises `RecipeError` for what is wrong in `[Fuki]`."""
    if not (directory / "mkosi.conf").is_file():
        hint = "name the directory of an mkosi project"
        raise RecipeError(f"there is no mkosi.conf in {directory}", where="DIR", hint=hint)

    plugins: tuple[str, ...] = ()
    if find_sections(directory):
        # Anything will do for what mkosi brings later: only mistakes are looked for.
        missing = {"name": "image", "image": {"linux": "linux", "stub": "stub"}}
        plugins = load_recipe(directory / "mkosi.conf", Caller(defaults=missing)).recipe.plugins

    write_drop_in(directory / TREE, plugins)
    yield directory / TREE

    path = directory / CONFIGURATION
    with OutputFile(path) as file:
        file.write(_TEXT.encode())
        file.commit()
    yield path
