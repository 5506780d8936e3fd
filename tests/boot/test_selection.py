"""What the simulation says that a machine selects is what a real stub selects there.

The guest's SMBIOS strings are those of a cloud. The stub measures the firmware that it selects into PCR 11, so the
register tells which one that was; a software TPM keeps it, and the guest's first program prints it.
"""

import hashlib
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from fuki_build.hardware.machine import Machine
from fuki_build.image.firmware import slices
from fuki_build.image.inspect import inspect
from fuki_build.image.section import Section
from fuki_build.image.selection import select

_TOO_LONG = 300
"""Seconds that no boot takes, even on a busy machine."""

CALM = "no_timer_check tsc=reliable mitigations=off cryptomgr.notests=1"
"""Keeps a kernel from giving up on timers that a busy host serves late, and saves a second."""

CPU = "qemu64,-cx16"
"""QEMU 7.2 emulates cmpxchg16b wrongly now and then on a busy host, and kernels use it to allocate memory."""

INIT = b"""#!/bin/busybox sh
/bin/busybox mkdir -p /sys
/bin/busybox mount -t sysfs sysfs /sys
echo "PCR11 $(/bin/busybox cat /sys/class/tpm/tpm0/pcr-sha256/11)"
/bin/busybox reboot -f
"""

PLATFORMS = {"aws": "aws:m6a.*", "azure": "azure", "gcp": "gcp", "openstack": "openstack", "vmware": "vmware"}
"""The firmware ids of the image, and the platforms that are to select them."""

MACHINES = {
    "aws": Machine("m6a", manufacturer="Amazon EC2", product="m6a.large", baseboard_manufacturer="Amazon EC2"),
    "azure": Machine(
        "azure",
        manufacturer="Microsoft Corporation",
        product="Virtual Machine",
        family="Virtual Machine",
        sku="None",
        baseboard_manufacturer="Microsoft Corporation",
        baseboard_product="Virtual Machine",
    ),
    "gcp": Machine(
        "gcp",
        manufacturer="Google",
        product="Google Compute Engine",
        baseboard_manufacturer="Google",
        baseboard_product="Google Compute Engine",
    ),
    "openstack": Machine(
        "openstack", manufacturer="OpenStack Foundation", product="OpenStack Nova", family="Virtual Machine"
    ),
    "vmware": Machine(
        "vmware",
        manufacturer="VMware, Inc.",
        product="VMware20,1",
        baseboard_manufacturer="Intel Corporation",
        baseboard_product="440BX Desktop Reference Platform",
    ),
    None: Machine("another size", manufacturer="Amazon EC2", product="m5.large", baseboard_manufacturer="Amazon EC2"),
}
"""A machine for each firmware, and one that is to select none."""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory, part) -> Path:
    import parts

    from fuki_build import pipeline

    directory = tmp_path_factory.mktemp("selection")
    for fwid in PLATFORMS:
        (directory / fwid).mkdir()
        (directory / fwid / "OVMF.fd").symlink_to(part("ovmf-generic"))
    (directory / "initrd").write_bytes(parts.initrd({"init": INIT, "bin/busybox": part("busybox").read_bytes()}))
    recipe = f"""
[fuki]
name = "selection"
plugins = ["aws", "azure", "gcp", "virt"]
[fuki.image]
stub = "{part("stub-x64")}"
linux = "{part("kernel-x64")}"
initrd = "initrd"
cmdline = "console=ttyS0 quiet panic=-1 {CALM}"
os-release = {{ text = "ID=selection" }}
"""
    for fwid, platform in PLATFORMS.items():
        recipe += f'[[fuki.firmware]]\nsource = "directory"\npath = "{fwid}"\nplatforms = ["{platform}"]\n'
    (directory / "fuki.toml").write_text(recipe)
    with pipeline.plan(directory) as planned:
        pipeline.build(planned, only=["uki"])
    return directory / "selection.efi"


def predict(sections: Sequence[Section]) -> str:
    """PCR 11 in the SHA-256 bank: each section's name with its NUL, then its content."""
    register = bytes(32)
    for section in sections:
        for data in (section.name.encode() + b"\0", section.content.read_at(0, section.content.size)):
            register = hashlib.sha256(register + hashlib.sha256(data).digest()).digest()
    return register.hex().upper()


@pytest.fixture
def tpm(tmp_path: Path) -> Iterator[Path]:
    """The control socket of a software TPM."""
    socket = tmp_path / "tpm"
    state = tmp_path / "state"
    state.mkdir()
    command = ("swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}", "--ctrl", f"type=unixio,path={socket}")
    with subprocess.Popen([*command, "--terminate"]) as process:
        try:
            while not socket.exists():
                assert process.poll() is None
            yield socket
        finally:
            process.terminate()


def smbios(machine: Machine) -> list[str]:
    """QEMU's options for a machine's strings; a comma is doubled."""
    kinds = {
        1: {"manufacturer": "manufacturer", "product": "product", "family": "family", "sku": "sku"},
        2: {"manufacturer": "baseboard_manufacturer", "product": "baseboard_product"},
    }
    options = []
    for kind, fields in kinds.items():
        texts = [f"{key}={getattr(machine, field).replace(',', ',,')}" for key, field in fields.items()]
        options += ["-smbios", ",".join([f"type={kind}", *texts])]
    return options


@pytest.mark.parametrize("fwid", MACHINES)
def test_a_real_stub_selects_and_measures_what_the_simulation_says(fwid, image, part, tpm):
    layout = inspect(image)
    assert layout.stub
    sections = layout.plain_sections
    selection = select(sections, slices(sections), layout.stub.model, MACHINES[fwid])
    assert (selection.firmware.key if selection.firmware else None) == fwid
    command = [
        *("qemu-system-x86_64", "-machine", "q35", "-accel", "tcg", "-cpu", CPU, "-m", "1G", "-nodefaults"),
        *("-display", "none"),
        *("-serial", "stdio", "-no-reboot", "-bios", str(part("ovmf-generic")), "-kernel", str(image)),
        *("-chardev", f"socket,id=tpm,path={tpm}", "-tpmdev", "emulator,id=tpm,chardev=tpm"),
        *("-device", "tpm-tis,tpmdev=tpm", *smbios(MACHINES[fwid])),
    ]
    done = subprocess.run(command, capture_output=True, timeout=_TOO_LONG, check=True, stdin=subprocess.DEVNULL)
    # The firmware leaves escape codes in front of it.
    console = done.stdout.decode(errors="replace")
    assert re.findall(r"PCR11 ([0-9A-F]{64})", console) == [predict(selection.measured)], console[-2000:]
