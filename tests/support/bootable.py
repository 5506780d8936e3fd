"""Images to boot, of real parts."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import parts
from fuki_qemu import PROBE

from fuki_build.testing import recipe, succeed

CALM = "no_timer_check tsc=reliable mitigations=off cryptomgr.notests=1"
"""Keeps a kernel from giving up on timers that a busy host serves late, and saves a second."""
CMDLINE = f"console=ttyS0 panic=-1 {CALM}"
CLOUDS = {"aws": "aws:m6a.*", "azure": "azure", "gcp": "gcp", "openstack": "openstack", "vmware": "vmware"}
"""The firmware ids of an image for five clouds, and the platforms that are to select them."""
CLOUD_PLUGINS = ("aws", "azure", "gcp", "virt")


def build(  # noqa: PLR0913 - what images differ in
    directory: Path,
    more: str = "",
    *,
    stub: str = "stub-x64",
    kernel: bool = False,
    cmdline: str | bytes = CMDLINE,
    sbat: str = "",
    initrd: Mapping[str, bytes] = {"init": b"#!/bin/sh\n"},
    plugins: Sequence[str] = CLOUD_PLUGINS,
    silence: Sequence[str] = ("firmware-unknown",),
) -> Path:
    """Build `boot.efi` in a new directory: with the probe for a kernel, or a real one, and what `more` adds.

    A command line of bytes need not be UTF-8.
    """
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "initrd.img").write_bytes(parts.initrd(initrd))
    if isinstance(cmdline, bytes):
        (directory / "cmdline").write_bytes(cmdline)

    text = recipe(
        more,
        name="boot",
        plugins=plugins,
        silence=silence,
        stub=parts.get(stub),
        linux=parts.get("kernel-x64") if kernel else PROBE,
        uname=None if kernel else "6.12-probe",
        initrd="initrd.img",
        cmdline={"file": "cmdline"} if isinstance(cmdline, bytes) else cmdline,
        os_release={"text": "ID=boot"},
        sbat=[sbat] if sbat else [],
    )
    (directory / "fuki.toml").write_text(text)
    succeed(directory, "build")
    return directory / "boot.efi"


def clouds(directory: Path) -> str:
    """Firmware for five clouds. What it is does not matter to the stub, and small files are quick to load."""
    text = ""
    for fwid, platform in CLOUDS.items():
        (directory / fwid).mkdir(parents=True)
        (directory / fwid / "firmware.fd").write_bytes(f"firmware for {fwid}".encode().ljust(64 * 1024, b"\xff"))
        text += f'[[fuki.firmware]]\nsource = "directory"\npath = "{fwid}"\nplatforms = ["{platform}"]\n'
    return text
