"""kernel-install: a plugin for `uki_generator=fuki`, and a program for those who keep `uki_generator=ukify`."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from fuki_build.errors import RecipeError
from fuki_build.image.blob import Blob
from fuki_build.image.output_file import OutputFile
from fuki_build.integrate.drop_in import PROGRAM, write_drop_in
from fuki_build.integrate.wheels import RUNNING, Version
from fuki_build.recipe.caller import Caller
from fuki_build.recipe.load import load_recipe

DEFAULT = Path("/etc/kernel")
PLUGIN = "60-fuki.install"
_DIRECTORY = "fuki"
_SETTINGS = {"layout": "uki", "uki_generator": "fuki"}
_MARK = b"kernel-install's plugin for uki_generator=fuki"
"""In every plugin that fuki wrote."""
_MAX_CONFIGURATION = 64 * 1024
# Anything will do for what kernel-install brings later: only mistakes are looked for.
_BROUGHT = {"name": "uki", "image": {"linux": "linux", "stub": "stub"}}


def integrate(directory: Path, plugins: Sequence[str], version: Version = RUNNING) -> Iterator[Path]:
    """Put the plugin into a configuration of kernel-install, such as /etc/kernel; yields what was written.

    `version` is that of the Python that runs it. Raises `RecipeError` for what is wrong in the partial recipe that is
    there, and for files in the way that fuki did not write; nothing is written then.
    """
    if not directory.is_dir():
        hint = "name the configuration of kernel-install: /etc/kernel, or that of an image's tree"
        raise RecipeError(f"there is no directory {directory}", where="CONFIGURATION_ROOT", hint=hint)

    recipe = directory / "fuki.toml"
    if recipe.is_file():
        plugins = [*plugins, *load_recipe(recipe, Caller(defaults=_BROUGHT)).recipe.plugins]
    installed = directory / "install.d" / PLUGIN
    _refuse_other(installed)

    if write_drop_in(directory / _DIRECTORY, plugins, version):
        yield directory / _DIRECTORY / PROGRAM

    text = Path(__file__).with_name(PLUGIN).read_bytes()
    if not (installed.is_file() and installed.read_bytes() == text and os.access(installed, os.X_OK)):
        installed.parent.mkdir(exist_ok=True)
        with OutputFile(installed, 0o777) as file:
            file.write(text)
            file.commit()
        yield installed


def _refuse_other(plugin: Path) -> None:
    """Raise `RecipeError` where a plugin of the name is not fuki's, or is switched off by a link to /dev/null."""
    if not os.path.lexists(plugin):
        return
    if plugin.is_symlink() or not plugin.is_file() or _MARK not in plugin.read_bytes():
        raise RecipeError("it is not as fuki writes it", where=str(plugin), hint="remove it, or move it away")


def missing_settings(directory: Path) -> Sequence[str]:
    """The lines that install.conf needs, and does not have, for the plugin to make images."""
    path = directory / "install.conf"
    text = (
        Blob.of_file(path).read_small(_MAX_CONFIGURATION, str(path)).decode(errors="replace") if path.exists() else ""
    )
    lines = re.findall(r"^\s*(\w+)\s*=\s*(.*?)\s*$", text, re.MULTILINE)
    settings = {key: value.strip("\"'") for key, value in lines}
    return [f"{key}={value}" for key, value in _SETTINGS.items() if settings.get(key) != value]
