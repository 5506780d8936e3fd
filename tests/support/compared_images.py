"""Images that differ in one thing."""

from pathlib import Path

import parts

from fuki_build.testing import recipe, succeed
from tests.support.workshop import BASE, lay_out

FIRMWARE = """
[[fuki.firmware]]
source = "file"
path = "{path}"
id = "one"
platforms = ["qemu:{machine}"]
"""
PROFILES = """
[[fuki.profile]]
id = "debug"
cmdline = "debug"
"""
RESCUE = """
[[fuki.profile]]
id = "rescue"
title = "Rescue"
"""
POLICY = """
[[fuki.pcr-policy]]
key = "../keys/pcr.key"
phases = ["enter-initrd"]
"""
OLD, NEW = "old/image.efi", "new/image.efi"
ACME = "acme,{},Acme,acme,1,https://acme.example/"


def image(  # noqa: PLR0913 - each is one difference
    directory: Path,
    *,
    cmdline: str = "root=LABEL=root ro",
    initrd: bytes = b"#!/bin/sh\n",
    firmware: str = "generic.fd",
    machine: str = "q35",
    generation: int | None = 2,
    policy: str = POLICY,
    profiles: str = PROFILES + RESCUE,
) -> Path:
    """Build an image; each argument is what one difference is about."""
    text = recipe(
        policy + FIRMWARE.format(path=firmware, machine=machine) + profiles,
        cmdline=cmdline,
        initrd=["initrd.img"],
        sbat=[] if generation is None else [ACME.format(generation)],
        uname="6.12",
    )
    real = {**BASE, "generic.fd": "ovmf-generic", "amdsev.fd": "ovmf-amdsev"}
    lay_out(directory, real=real, files={"initrd.img": parts.initrd({"init": initrd})}, recipe=text)
    succeed(directory, "build", "-o", "image.efi")
    return directory / "image.efi"
