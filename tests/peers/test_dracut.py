"""dracut 112, unchanged: `dracut --uefi` with the program that `fuki integrate ukify` writes on its PATH.

Everything runs in a root directory of the test's own.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import parts
import pytest

from tests.support.scratch_root import PATH, Ended, ScratchRoot, inside

RELEASE = "6.12.0-test"
RECIPE = """\
[fuki]

[[fuki.firmware]]
source = "directory"
path = "/srv/ovmf-generic"
platforms = ["qemu:q35"]
"""


class Machine(ScratchRoot):
    """A machine with dracut, which makes a small initrd, and fuki's program in /opt/fuki."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        package = parts.get("dracut").parents[2]
        shutil.copytree(package / "usr/lib/dracut", self.directory / "opt/dracut")
        # Its libc is newer than the machine's may be: it runs with its own.
        (self.directory / "opt/dracut/dracut-install").unlink()
        loader, libraries = (
            inside(package / name) for name in ("usr/lib64/ld-linux-x86-64.so.2", "usr/lib/x86_64-linux-gnu")
        )
        program = inside(package / "usr/lib/dracut/dracut-install")
        self.write_program(
            "opt/dracut/dracut-install", f'#!/bin/sh\nexec {loader} --library-path {libraries} {program} "$@"\n'
        )
        self.write("srv/ovmf-generic/OVMF.fd", parts.get("ovmf-generic").read_bytes())
        command = [sys.executable, "-m", "fuki_build", "integrate", "ukify", self.directory / "opt/fuki"]
        subprocess.run(command, capture_output=True, check=True)

    def dracut(self, path: str, **environment: str) -> Ended:
        """Make /boot/image.efi with the ukify of a directory."""
        options = (
            *("--uefi", "--force", "--no-kernel", "--no-early-microcode", "--nohardlink", "--modules", "base"),
            *("--kernel-image", inside(parts.get("kernel-x64")), "--uefi-stub", inside(parts.get("stub-x64"))),
            *("--kernel-cmdline", "root=LABEL=root", "--conf", "/dev/null", "--confdir", "/srv/empty"),
            *("--reproducible", "--no-compress", "--kver", RELEASE, "/boot/image.efi"),
        )
        variables = {"dracutbasedir": "/opt/dracut", "PATH": f"{path}:{PATH}", "SOURCE_DATE_EPOCH": "0", **environment}
        return self.run("bash", inside(parts.get("dracut")), *options, environment=variables)


@pytest.fixture(scope="module")
def machine(tmp_path_factory) -> Machine:
    return Machine(tmp_path_factory.mktemp("machine") / "root")


def test_dracut_makes_the_image_that_it_makes_with_ukify(machine, pe):
    machine.write_program("opt/theirs/ukify", f'#!/bin/sh\nexec python3 {inside(parts.get("ukify"))} "$@"\n')
    images = []
    for path in ("/opt/theirs", "/opt/fuki"):
        ended = machine.dracut(path, FUKI_RECIPE="")
        assert ended.code == 0, ended.err
        images.append(machine.listing()["image.efi"])

    image = pe(machine.directory / "boot/image.efi")
    assert image.content(".cmdline").rstrip(b"\0").strip() == b"root=LABEL=root"
    assert image.content(".uname") == RELEASE.encode()
    assert len(image.content(".initrd")) > 1024 * 1024
    assert images[0] == images[1]


@pytest.mark.parametrize("place", ["etc/fuki", "srv/recipe"])
def test_firmware_of_a_partial_recipe_gets_in(machine, inspect, place):
    machine.write(f"{place}/fuki.toml", RECIPE)
    ended = machine.dracut("/opt/fuki", **({} if place == "etc/fuki" else {"FUKI_RECIPE": f"/{place}"}))
    shutil.rmtree(machine.directory / place)
    assert ended.code == 0, ended.err
    told = inspect(machine.directory / "boot/image.efi")
    assert [(f["fwid"], len(f["chids"])) for f in told["firmware"]] == [("ovmf-generic", 1)]


def test_what_fuki_refuses_leaves_no_image_or_that_from_before(machine):
    machine.write("srv/recipe/fuki.toml", RECIPE.replace("ovmf-generic", "missing"))
    image = machine.directory / "boot/image.efi"
    image.unlink(missing_ok=True)
    for before in ({}, {"image.efi": b"from before"}):
        for name, content in before.items():
            machine.write(f"boot/{name}", content)
        ended = machine.dracut("/opt/fuki", FUKI_RECIPE="/srv/recipe")
        assert ended.code == 1
        assert "fuki: error: fuki.firmware[0]: " in ended.err
        assert "/srv/missing" in ended.err
        assert machine.listing() == before
