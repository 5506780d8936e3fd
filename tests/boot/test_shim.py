"""Under shim, what is signed with a key in db starts, unless its SBAT component has been revoked.

shim is Debian's, signed by Microsoft. Which generations it takes stands in the shim itself (SbatLevel); those of GRUB
from before 2021 are revoked everywhere. A later level that is in shim's variable takes its place.
"""

import json
import subprocess
from pathlib import Path

import pytest
from fuki_qemu import esp, session
from fuki_qemu.boot_request import BootRequest
from fuki_qemu.guest import Screen
from fuki_virt_firmware import find_program

from fuki_build import new_host
from fuki_build.testing import succeed
from tests.support.bootable import build

REFUSED = "Verification failed: (0x1A)"
"""What shim says of EFI_SECURITY_VIOLATION; the machine may be ended before it has said it all."""
SHIM_LOCK = "605dab50-e046-4300-abb6-3dd810dd8b23"
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
def start(part, tmp_path, monkeypatch):
    """Boot an image through shim, which may have a level of its own; gives how it ended, and the console's text."""

    def run(image: Path, level: bytes | None = None) -> str:
        enroll = ("--pk", "keys/PK.pem", "--kek", "keys/KEK.pem", "--db", "keys/db.pem", "--microsoft")
        plugin = ("--plugin", "virt-firmware")
        store = tmp_path / f"{image.parent.name}.fd"
        succeed(tmp_path, *plugin, "keys", "enroll", part("ovmf-vars"), "-o", store, *enroll)
        if level is not None:
            put_level(store, level)
        write = esp.write

        def write_with_shim(path: Path, second: Path, addons: dict[str, Path]) -> None:
            write(path, part("shim"), addons)
            subprocess.run(["mcopy", "-i", path, second, "::/EFI/BOOT/grubx64.efi"], check=True)

        monkeypatch.setattr(esp, "write", write_with_shim)
        request = BootRequest(
            image=image,
            firmware=part("ovmf-secboot"),
            keys=store,
            kvm=False,
            timeout=150,
            screen=Screen.NONE,
        )
        booted = session.boot(request, new_host(), tmp_path / f"boot-{image.parent.name}")
        monkeypatch.setattr(esp, "write", write)
        return f"{booted.outcome.ending}\n{booted.console}"

    return run


def put_level(store: Path, level: bytes) -> None:
    """Put a level where shim keeps it (SBAT.md): in a variable that only programs before the system see."""
    variable = {"name": "SbatLevel", "guid": SHIM_LOCK, "attr": 3, "data": level.hex()}
    given = store.with_suffix(".json")
    given.write_text(json.dumps({"version": 2, "variables": [variable]}))
    command = [find_program(), "--inplace", store, "--set-json", given]
    subprocess.run(command, check=True, capture_output=True)


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
