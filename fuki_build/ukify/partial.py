"""Partial recipes: what a caller of ukify cannot say, in a file that is found beside the call."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from fuki_build.errors import RecipeError
from fuki_build.recipe.mkosi_files import TREE, find_sections

VARIABLE = "FUKI_RECIPE"
NAME = "fuki.toml"
SYSTEM = Path("/etc/fuki")


def find_partial(
    drop_in: Path | None = None, environment: Mapping[str, str] = os.environ, system: Path = SYSTEM
) -> Path | None:
    """The partial recipe of a call: the first that there is, or None.

    `$FUKI_RECIPE` (empty: none at all); beside the program named ukify that was called, by its real path; in
    `$KERNEL_INSTALL_CONF_ROOT`, or else `/etc/kernel`; in `/etc/fuki`. A program inside an mkosi project has the
    project's `[Fuki]`, and nothing else. Raises `RecipeError` where the first names nothing: what was asked for is not
    left out silently.
    """
    named = environment.get(VARIABLE)
    if named is not None:
        path = Path(named)
        path = path / NAME if path.is_dir() else path
        if named and not path.is_file():
            raise RecipeError(f"there is no recipe {path}", where=VARIABLE, hint="unset it, or name a partial recipe")
        return path if named else None

    program = drop_in.resolve() if drop_in is not None else None
    if program is not None and program.parent.name == TREE:
        project = program.parent.parent
        return project / "mkosi.conf" if find_sections(project) else None

    places = (directory / NAME for directory in _directories(program, environment, system))
    return next((path for path in places if path.is_file()), None)


def image_settings(recipe: Path, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What the mkosi that runs calls the image, for the `[Fuki]` of its project: its options go before its files."""
    if recipe.name != "mkosi.conf":
        return {}
    variables = {"ImageId": "IMAGE_ID", "ImageVersion": "IMAGE_VERSION"}
    return {name: environment[variable] for name, variable in variables.items() if environment.get(variable)}


def _directories(program: Path | None, environment: Mapping[str, str], system: Path) -> Iterator[Path]:
    if program is not None:
        yield program.parent
    yield Path(environment.get("KERNEL_INSTALL_CONF_ROOT") or system.parent / "kernel")
    yield system
