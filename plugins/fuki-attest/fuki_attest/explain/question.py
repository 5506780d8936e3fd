"""What the user gives to explain evidence with, read from the command line."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fuki_build import (
    Boot,
    LoadedRecipe,
    Machine,
    PluginHost,
    find_machines,
    is_uki,
    load_recipe,
    new_host,
    read_boot,
    read_small_file,
)
from fuki_build.errors import RecipeError, raised_as
from fuki_build.formats.hashes import SIZES
from fuki_build.hooks import Svsm
from msgspec import Struct

_MAX_SVSM = 64 * 1024 * 1024


_START = (
    "console",
    "no_boot_secret",
    "disk",
    "secure_boot",
    "variables",
    "lists",
    "addons",
    "global_addons",
    "loaders",
)
"""Options that `read_boot` takes by these names."""


class ExplainQuestion(Struct, frozen=True, kw_only=True):
    """Images and firmware that may have been measured, and what is known of machine, launch and start.

    `texts` are command lines that a boot loader, or a hypervisor, may have passed. `start` are the options from which
    `boot` reads what else there is.
    """

    images: tuple[Path, ...]
    firmware: tuple[Path, ...]
    host: PluginHost
    recipe: LoadedRecipe | None
    machines: tuple[Machine, ...] | None
    texts: tuple[str, ...]
    svsm: Svsm | None
    start: Mapping[str, Any]

    @property
    def tells_secure_boot(self) -> bool:
        """Whether something is known of Secure Boot, so that PCR 7 can be explained."""
        return any(self.start[name] for name in ("secure_boot", "variables", "lists"))

    @property
    def files(self) -> tuple[Path, ...]:
        """All that a guest may have been launched with."""
        return (*self.images, *self.firmware)

    @property
    def ukis(self) -> tuple[Path, ...]:
        """The images that measure into registers: firmware files may be named as images, too."""
        return tuple(path for path in self.images if is_uki(path))

    def boot(self, banks: Sequence[str]) -> Boot:
        """What is known of the start, with programs and addons digested in these banks. Raises `FukiError`."""
        return read_boot([bank for bank in SIZES if bank in banks], **self.start)


def read_question(plugins: Sequence[str], asked: Mapping[str, Any]) -> ExplainQuestion:
    """What the options of the verb ask, by their names. Raises `FukiError`."""
    host = new_host(plugins)
    recipe = load_recipe(asked["recipe"]) if asked["recipe"] else None
    if recipe is not None:
        host.load(recipe.recipe.plugins)
    machines = find_machines(asked["machine"], Path(), host, "--machine") if asked["machine"] else None
    return ExplainQuestion(
        images=asked["images"],
        firmware=asked["firmware"],
        host=host,
        recipe=recipe,
        machines=None if machines is None else tuple(machines),
        texts=asked["cmdlines"],
        svsm=_svsm(asked["svsm"], asked["variables_size"]),
        start={name: asked[name] for name in _START},
    )


def _svsm(path: Path | None, variables_size: int | None) -> Svsm | None:
    if path is None:
        return None
    if variables_size is None:
        hint = "give --variables-size as well"
        raise RecipeError("an SVSM stands below the variable store", where="--svsm", hint=hint)
    with raised_as(RecipeError, "--svsm"):
        return Svsm(read_small_file(path, _MAX_SVSM), variables_size)
