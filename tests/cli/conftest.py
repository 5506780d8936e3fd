"""Firmware, and an image with some, whose launches are predicted."""

from pathlib import Path

import pytest

FIRMWARE = '[[fuki.firmware]]\nsource = "directory"\npath = "{0}"\nplatforms = ["qemu:{1}"]\n'


@pytest.fixture
def firmware(part) -> Path:
    return part("ovmf-generic")


@pytest.fixture
def image(workshop: Path, part, fuki) -> Path:
    """A UKI with two firmware images, and a profile with a command line of its own."""
    with (workshop / "fuki.toml").open("a") as recipe:
        for name, source, machine in (("both", "ovmf-generic", "q35"), ("tdx", "ovmf-inteltdx", "i440fx")):
            (workshop / name).mkdir()
            (workshop / name / "OVMF.fd").symlink_to(part(source))
            recipe.write(FIRMWARE.format(name, machine))
        recipe.write('[[fuki.profile]]\nid = "debug"\ncmdline = "debug"\n')
    fuki("build", "-o", "image.efi")
    return workshop / "image.efi"
