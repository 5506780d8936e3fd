"""Under shim, what is signed with a key in db starts, unless its SBAT component has been revoked.

shim is Debian's, signed by Microsoft. Which generations it takes stands in the shim itself (SbatLevel); those of GRUB
from before 2021 are revoked everywhere. A later level that is in shim's variable takes its place.
"""

from pathlib import Path

import pytest
from fuki_qemu import session
from fuki_qemu.guest import Screen

from fuki_build import new_host
from fuki_build.testing import succeed
from tests.support.bootable import build
from tests.support.shim import REFUSED, behind_shim, put_level

REVOKED = "grub,1,Free Software Foundation,grub,2.04,https://www.gnu.org/software/grub/"


@pytest.fixture
def signed(tmp_path):
    """Build and sign an image, whose SBAT has `component`, in a directory of this name; gives the image."""
    succeed(tmp_path, "keys", "generate", "keys")

    def make(component: str, name: str = "image") -> Path:
        image = build(tmp_path / name, sbat=component)
        keys = ("--key", tmp_path / "keys/db.key", "--certificate", tmp_path / "keys/db.pem")
        succeed(image.parent, "sign", "boot.efi", *keys, "-o", "signed.efi")
        return image.with_name("signed.efi")

    return make


@pytest.fixture
def start(part, tmp_path):
    """Boot an image through shim, which may have a level of its own; gives how it ended, and the console's text."""

    def run(image: Path, level: bytes | None = None) -> str:
        enroll = ("--pk", "keys/PK.pem", "--kek", "keys/KEK.pem", "--db", "keys/db.pem", "--microsoft")
        plugin = ("--plugin", "virt-firmware")
        store = tmp_path / f"{image.parent.name}.fd"
        succeed(tmp_path, *plugin, "keys", "enroll", part("ovmf-vars"), "-o", store, *enroll)
        if level is not None:
            put_level(store, level)
        request = session.BootRequest(
            image=image,
            firmware=part("ovmf-secboot"),
            keys=store,
            kvm=False,
            timeout=150,
            screen=Screen.NONE,
        )
        with behind_shim():
            booted = session.boot(request, new_host(), tmp_path / f"boot-{image.parent.name}")
        return f"{booted.outcome.ending}\n{booted.console}"

    return run


def test_an_image_that_is_signed_starts_under_shim(signed, start):
    console = start(signed("acme,1,Acme,acme,1,https://acme.example/"))
    assert console.startswith("ended\n"), console[-2000:]
    assert REFUSED not in console


def test_an_image_with_a_revoked_component_is_refused_by_shim(signed, start):
    console = start(signed(REVOKED))
    assert REFUSED in console, console[-2000:]
    assert console.startswith("refused\n")


def test_the_level_of_a_release_has_shim_refuse_the_old_image_and_start_the_new_one(signed, start, tmp_path):
    first = "acme,{},Acme,acme,1,https://acme.example/"
    old, new = signed(first.format(1), "old"), signed(first.format(2), "new")
    level = tmp_path / "level"
    succeed(tmp_path, "release", old, new, "--allow", "version-not-newer", "--level", level)
    refusal = start(old, level.read_bytes())
    assert REFUSED in refusal, refusal[-2000:]
    console = start(new, level.read_bytes())
    assert console.startswith("ended\n"), console[-2000:]
    assert REFUSED not in console
