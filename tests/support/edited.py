"""An image, and what `fuki edit` makes of it."""

from pathlib import Path

from fuki_build.testing import succeed
from tests.support.rich import sections
from tests.support.workshop import workshop_recipe

OUT = "edited.efi"
PARTS = workshop_recipe(version=None)
PROFILES = """
[[fuki.profile]]
id = "debug"
title = "Debug"
cmdline = "debug"
[[fuki.profile]]
id = "rescue"
cmdline = "rescue"
initrd = "more.img"
"""


def build(directory: Path, recipe: str = PARTS, output: str = "acme.efi") -> Path:
    (directory / "fuki.toml").write_text(recipe)
    succeed(directory, "build", "-o", output)
    return directory / output


def edit(directory: Path, *arguments: object, image: str = "acme.efi") -> Path:
    succeed(directory, "edit", image, *arguments, "-o", OUT)
    return directory / OUT


def content(directory: Path, address: str, image: str = OUT) -> bytes:
    succeed(directory, "inspect", image, "--extract", address, "-o", "extracted")
    return (directory / "extracted").read_bytes()


def names(path: Path) -> list[str]:
    return [name for name, *_ in sections(path)]
