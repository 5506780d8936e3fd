"""Images that the tests boot."""

from pathlib import Path

import parts
from fuki_build.testing import recipe, succeed

from fuki_qemu import PROBE


def build(directory: Path) -> Path:
    """A UKI whose kernel is the probe, which ends the guest at once."""
    directory.mkdir(exist_ok=True)
    (directory / "initrd.img").write_bytes(parts.initrd({"init": b"#!/bin/sh\n"}))

    text = recipe(
        name="boot",
        stub=parts.get("stub-x64"),
        linux=PROBE,
        uname="6.12-probe",
        initrd="initrd.img",
        cmdline="console=ttyS0 panic=-1",
    )

    (directory / "fuki.toml").write_text(text)
    succeed(directory, "build")
    return directory / "boot.efi"
