"""`fuki measure --format`: the verb's options as those of recipes' outputs, and what a format tells with them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fuki_build.cli.measure import chosen_banks, inspect_uki
from fuki_build.cli.telling import write_format
from fuki_build.emit.of_image import ImageFacts
from fuki_build.hardware.machine import Machine
from fuki_build.hooks.host import PluginHost, loaded_machines

_OPTIONS = {
    "direct": "direct",
    "options": "options",
    "smbios_options": "smbios-options",
    "console": "console",
    "secure_boot": "secure-boot",
    "variables": "variables",
    "shim": "shim",
    "disk": "disk",
    "host_firmware": "host-firmware",
    "chipset": "chipset",
    "memory": "memory",
    "volume_unchanged": "volume-unchanged",
    "firmware_log": "firmware-log",
}
"""Options of the command line that are one value in recipes, by their names there."""
_LISTS = {
    "lists": ("secure-boot-variables", "--variable"),
    "loaders": ("loaders", "--loader"),
    "global_addons": ("global-addons", "--global-addon"),
}
"""Options that are repeated, each with its name in recipes and on the command line."""
_FILTERS = {"--profile": "profiles", "--firmware": "firmware", "--phase": "phases", "--pcr": "pcrs"}


def recipe_options(
    banks: Sequence[str],
    selected: Mapping[str, Sequence[Any]],
    boot: Mapping[str, Any],
    *,
    rtmrs: bool,
    chosen: bool,
) -> Mapping[str, tuple[str, Any]]:
    """The options that were given, by their names in recipes' outputs, each with the option of the command line."""
    options: dict[str, tuple[str, Any]] = {}
    if banks:
        options["banks"] = ("--bank", list(chosen_banks(banks)))
    options |= {_FILTERS[place]: (place, list(values)) for place, values in selected.items() if values}
    if chosen:
        options["machines"] = ("--machine", ["*"])
    if rtmrs:
        options["rtmrs"] = ("--rtmr", True)

    for name, key in _OPTIONS.items():
        if boot[name] not in (None, False):
            value = boot[name]
            options[key] = (f"--{key}", str(value) if isinstance(value, Path) else value)
    for name, (key, place) in _LISTS.items():
        if boot[name]:
            options[key] = (place, [str(value) for value in boot[name]])
    if boot["no_boot_secret"]:
        options["boot-secret"] = ("--no-boot-secret", False)
    return options


def write_measured(  # noqa: PLR0917 - in the order in which they are known
    host: PluginHost,
    form: str,
    options: Mapping[str, tuple[str, Any]],
    settings: tuple[str, ...],
    output: Path | None,
    image: Path,
    machines: Sequence[Machine] | None,
    addons: Sequence[Path],
) -> None:
    """Write what a format tells of an image, and of the machines that were named, or all that are known."""

    def gather() -> ImageFacts:
        known = loaded_machines(host) if machines is None else machines
        return ImageFacts(path=image, layout=inspect_uki(image), addons=addons, machines=tuple(known))

    write_format(host, form, options, settings, output, gather)
