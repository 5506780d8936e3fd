"""The image that evidence is held against: two firmware images, one of them wrapped, and two profiles."""

from pathlib import Path

import parts
from fuki_build.testing import recipe, succeed

_FIRMWARE_AND_PROFILE = """\
[[fuki.firmware]]
id = "ovmf-generic"
source = "file"
path = "generic.fd"
platforms = ["qemu:q35"]

[[fuki.firmware]]
id = "ovmf-wrapped"
source = "file"
path = "wrapped.igvm"
platforms = ["qemu:i440fx"]

[[fuki.profile]]
id = "debug"
cmdline = "debug console=ttyS0"

"""


def image_recipe(more: str, cmdline: str, initrd: str | None = None) -> str:
    """Its recipe, with launches, addons and outputs in `more`."""
    return recipe(_FIRMWARE_AND_PROFILE + more, plugins=["coco"], cmdline=cmdline, initrd=initrd)


def lay_out_parts(directory: Path) -> None:
    """What the recipe names, into its directory."""
    for name, part in {"stub": "stub-x64", "vmlinuz": "kernel-x64", "generic.fd": "ovmf-generic"}.items():
        (directory / name).symlink_to(parts.get(part))
    succeed(directory, "firmware", "wrap", parts.get("ovmf-2025"), "-o", "wrapped.igvm", "--cpu-signature", "0xa00f11")
