"""mkosi: `[Fuki]` of an unchanged `mkosi build` reaches the image that mkosi makes."""

import os
from collections.abc import Iterator
from pathlib import Path

from fuki_build.errors import RecipeError
from fuki_build.image.output_file import OutputFile
from fuki_build.integrate.drop_in import refuse_others, write_drop_in
from fuki_build.integrate.wheels import RUNNING, Version
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


def integrate(directory: Path, version: Version = RUNNING) -> Iterator[Path]:
    """Put fuki into an mkosi project; yields what was written, which is nothing where all is as it should be.

    `version` is that of the Python that mkosi runs. Raises `RecipeError` for what is wrong in `[Fuki]`, and for files
    in the way that fuki did not write; nothing is written then.
    """
    if not any((directory / name).exists() for name in ("mkosi.conf", "mkosi.conf.d")):
        hint = "name the directory of an mkosi project"
        raise RecipeError(f"there is no mkosi.conf in {directory}", where="DIR", hint=hint)

    plugins: tuple[str, ...] = ()
    if find_sections(directory):
        # Anything will do for what mkosi brings later: only mistakes are looked for.
        missing = {"name": "image", "image": {"linux": "linux", "stub": "stub"}}
        plugins = load_recipe(directory / "mkosi.conf", Caller(defaults=missing)).recipe.plugins

    configuration = directory / CONFIGURATION
    is_there = _check_configuration(configuration)
    if (directory / TREE).is_symlink():
        # Where the program is tells whose [Fuki] it reads.
        hint = "remove it, or move it away"
        raise RecipeError("it is a symbolic link, and has to be a directory", where=str(directory / TREE), hint=hint)
    refuse_others(directory / TREE)

    if write_drop_in(directory / TREE, plugins, version):
        yield directory / TREE
    if not is_there:
        with OutputFile(configuration) as file:
            file.write(_TEXT.encode())
            file.commit()
        yield configuration


def _check_configuration(path: Path) -> bool:
    """Whether it is there; raises `RecipeError` where it says something else."""
    if not os.path.lexists(path):
        return False
    if not path.is_file() or path.read_bytes() != _TEXT.encode():
        hint = "put settings of yours into a file of another name, and remove this one"
        raise RecipeError("it exists, and is not as fuki writes it", where=str(path), hint=hint)
    return True
