"""Under shim, what is signed with a key in db starts, unless its SBAT component has been revoked.

shim is Debian's, signed by Microsoft. Which generations it takes stands in the shim itself (SbatLevel); those of GRUB
from before 2021 are revoked everywhere.
"""

import subprocess
from pathlib import Path

import pytest
from fuki_qemu import esp, session
from fuki_qemu.guest import Screen

from fuki_build import new_host
from fuki_build.testing import succeed
from tests.support.bootable import build

REFUSED = "Verification failed: (0x1A) Security Violation"
REVOKED = "grub,1,Free Software Foundation,grub,2.04,https://www.gnu.org/software/grub/"


@pytest.fixture
def boot(part, tmp_path, monkeypatch):
    """Boot a signed image, whose SBAT has `component`, through shim; gives the console's text."""

    def run(component: str) -> str:
        image = build(tmp_path / "image", sbat=component)
        succeed(image.parent, "keys", "generate", "keys")
        keys = ("--key", "keys/db.key", "--certificate", "keys/db.pem")
        succeed(image.parent, "sign", "boot.efi", *keys, "-o", "signed.efi")
        enroll = ("--pk", "keys/PK.pem", "--kek", "keys/KEK.pem", "--db", "keys/db.pem", "--microsoft")
        plugin = ("--plugin", "virt-firmware")
        succeed(image.parent, *plugin, "keys", "enroll", part("ovmf-vars"), "-o", "vars.fd", *enroll)
        write = esp.write

        def write_with_shim(path: Path, second: Path, addons: dict[str, Path]) -> None:
            write(path, part("shim"), addons)
            subprocess.run(["mcopy", "-i", path, second, "::/EFI/BOOT/grubx64.efi"], check=True)

        monkeypatch.setattr(esp, "write", write_with_shim)
        request = session.BootRequest(
            image=image.with_name("signed.efi"),
            firmware=part("ovmf-secboot"),
            keys=image.with_name("vars.fd"),
            kvm=False,
            timeout=150,
            screen=Screen.NONE,
        )
        booted = session.boot(request, new_host(), tmp_path / "boot-1")
        return f"{booted.outcome.ending}\n{booted.console}"

    return run


def test_an_image_that_is_signed_starts_under_shim(boot):
    console = boot("acme,1,Acme,acme,1,https://acme.example/")
    assert console.startswith("ended\n"), console[-2000:]
    assert REFUSED not in console


def test_an_image_with_a_revoked_component_is_refused_by_shim(boot):
    console = boot(REVOKED)
    assert REFUSED in console, console[-2000:]
    assert console.startswith("refused\n")
