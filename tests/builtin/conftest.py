"""An image whose outputs are written from its recipe, or afterwards."""

from pathlib import Path

import parts
import pytest

FIRMWARE = """
[[fuki.firmware]]
source = "directory"
path = "ovmf"
platforms = ["qemu:q35"]
[[fuki.profile]]
id = "other"
cmdline = "other"
[[fuki.output]]
format = "uki"
"""


@pytest.fixture
def directory(workshop: Path) -> Path:
    """A recipe of an image with firmware and two profiles, and a boot menu."""
    (workshop / "ovmf").mkdir()
    (workshop / "ovmf" / "OVMF.fd").write_bytes(parts.get("ovmf-generic").read_bytes()[-65536:])
    (workshop / "menu.efi").write_bytes(parts.get("boot-x64").read_bytes())
    recipe = (workshop / "fuki.toml").read_text().replace("[fuki]\n", '[fuki]\nplugins = ["virt"]\n')
    (workshop / "fuki.toml").write_text(recipe + FIRMWARE)
    return workshop
