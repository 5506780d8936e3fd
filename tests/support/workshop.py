"""What a test finds in its directory: real parts by name, files, and a recipe."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import parts

from fuki_build.testing import recipe

BASE = {"stub": "stub-x64", "vmlinuz": "kernel-x64"}
KEYS = {"version": "41.3", "initrd": ["initrd.img"], "cmdline": "root=LABEL=root ro", "os_release": "os-release"}
IMAGE = "acme_41.3.efi"
"""What a recipe with these keys builds."""
FIRMWARE = """
[[fuki.firmware]]
source = "file"
id = "one"
path = "one.fd"
platforms = ["qemu:q35"]
[[fuki.firmware]]
source = "file"
id = "two"
path = "two.fd"
platforms = ["qemu:i440fx"]
"""
"""Firmware images for two machines, to be behind a recipe."""


def workshop_recipe(more: str = "", **changes: Any) -> str:  # noqa: ANN401 - as in `recipe`
    """The recipe of the fixture `workshop`, with `more` behind it and other keys; None leaves one out."""
    return recipe(more, **(KEYS | changes))


def lay_out(
    directory: Path,
    *,
    real: Mapping[str, str] = {},
    files: Mapping[str, str | bytes] = {},
    recipe: str | None = None,
) -> Path:
    """Put into a directory links to real parts (names of tools/parts.py), files with their content, and `fuki.toml`.

    Folders of both are made; a name that ends in `/` is a folder without content.
    """
    for name, part in real.items():
        _place(directory, name).symlink_to(parts.get(part))

    for name, content in files.items():
        path = _place(directory, name)
        if name.endswith("/"):
            path.mkdir(exist_ok=True)
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)

    if recipe is not None:
        (directory / "fuki.toml").write_text(recipe)
    return directory


def add(directory: Path, text: str) -> None:
    """Put text behind the recipe of a directory."""
    with (directory / "fuki.toml").open("a") as file:
        file.write(text)


def _place(directory: Path, name: str) -> Path:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
