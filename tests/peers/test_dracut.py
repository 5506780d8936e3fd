"""dracut 112, unchanged: `dracut --uefi` with the program that `fuki integrate ukify` writes on its PATH.

Everything runs in a root directory of the test's own.
"""

import shutil
import subprocess
import sys

import parts
import pytest

from fuki_build.testing import partial_recipe
from tests.support.installers import RELEASE, DracutRoot
from tests.support.scratch_root import Ended, inside

RECIPE = partial_recipe("""
[[fuki.firmware]]
source = "directory"
path = "/srv/ovmf-generic"
platforms = ["qemu:q35"]
""")


class Machine(DracutRoot):
    """A machine with fuki's program in /opt/fuki."""

    def lay_out(self) -> None:
        super().lay_out()
        command = [sys.executable, "-m", "fuki_build", "integrate", "ukify", str(self.directory / "opt/fuki")]
        subprocess.run(command, capture_output=True, check=True)

    def image(self, path: str, **environment: str) -> Ended:
        """Make /boot/image.efi with the ukify of a directory."""
        options = ("--uefi", "--force", "--reproducible", "--kernel-image", "/srv/vmlinuz")
        arguments = (*options, "--kernel-cmdline", "root=LABEL=root", "--kver", RELEASE, "/boot/image.efi")
        return self.dracut(*arguments, path=path, **environment)


@pytest.fixture(scope="module")
def machine(tmp_path_factory) -> Machine:
    machine = Machine(tmp_path_factory.mktemp("machine") / "root")
    machine.lay_out()
    return machine


def test_dracut_makes_the_image_that_it_makes_with_ukify(machine, pe):
    machine.write_program("opt/theirs/ukify", f'#!/bin/sh\nexec python3 {inside(parts.get("ukify"))} "$@"\n')
    images = []
    for path in ("/opt/theirs", "/opt/fuki"):
        ended = machine.image(path, FUKI_RECIPE="")
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
    ended = machine.image("/opt/fuki", **({} if place == "etc/fuki" else {"FUKI_RECIPE": f"/{place}"}))
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
        ended = machine.image("/opt/fuki", FUKI_RECIPE="/srv/recipe")
        assert ended.code == 1
        assert "fuki: error: fuki.firmware[0]: " in ended.err
        assert "/srv/missing" in ended.err
        assert machine.listing() == before
