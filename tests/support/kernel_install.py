"""A machine whose kernels are installed by kernel-install, with images that fuki or ukify makes."""

import shutil
import subprocess
import sys

import parts

from fuki_build.testing import partial_recipe
from tests.support.installers import RELEASE, KernelInstallRoot
from tests.support.scratch_root import inside

KERNEL = "/srv/vmlinuz"
UKI = f"EFI/Linux/acme-{RELEASE}.efi"
ADDON = f"{UKI}.extra.d/serial.addon.efi"
RECIPE = partial_recipe(
    """
[[fuki.firmware]]
source = "directory"
path = "/srv/ovmf-generic"
platforms = ["qemu:q35"]

[[fuki.addon]]
name = "serial"
cmdline = "console=ttyS0"
""",
    version="1",
)
GENERATORS = {
    "plugin": ("fuki", {}),
    "ukify": ("ukify", {"KERNEL_INSTALL_UKIFY": inside(parts.get("ukify"))}),
    "drop-in": ("ukify", {"KERNEL_INSTALL_UKIFY": "/etc/kernel/fuki/ukify"}),
}
"""What makes the image: the generator of install.conf, and variables."""

CONF_ROOT = {"KERNEL_INSTALL_CONF_ROOT": "/srv/conf"}


class Machine(KernelInstallRoot):
    """A machine, whose configuration a test changes."""

    def reset(self) -> None:
        """Forget what a test configured and installed."""
        kernel = self.directory / "etc/kernel"
        for path in (*kernel.iterdir(), kernel / "install.d/56-microcode.install", self.directory / "etc/fuki"):
            if path.is_file():
                path.unlink()
        for name in ("boot", "etc/fuki", "srv/conf"):
            shutil.rmtree(self.directory / name, ignore_errors=True)
        (self.directory / "boot").mkdir()
        self.write("etc/kernel/entry-token", "acme\n")
        self.write("etc/kernel/cmdline", "# a comment\nroot=LABEL=root ro\n  quiet\n")
        self.in_container(False)

    def in_container(self, answer: bool) -> None:
        self.write_program("opt/bin/systemd-detect-virt", f"#!/bin/sh\nexit {0 if answer else 1}\n")

    def configure(self, generator: str, layout: str = "uki", directory: str = "etc/kernel") -> None:
        self.write(f"{directory}/install.conf", f"BOOT_ROOT=/boot\nlayout={layout}\nuki_generator={generator}\n")

    def integrate(self, code: int = 0) -> str:
        command = [
            sys.executable,
            "-m",
            "fuki_build",
            "integrate",
            "kernel-install",
            str(self.directory / "etc/kernel"),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        return done.stderr

    def ended(self, *arguments: str, code: int = 0, **environment: str) -> str:
        """Run kernel-install; what it says."""
        ended = self.kernel_install(*arguments, **environment)
        assert ended.code == code, ended.err + ended.out
        assert "Traceback" not in ended.err
        return ended.err + ended.out

    def add(self, *options: str, by: str = "plugin", code: int = 0, **environment: str) -> str:
        """Install the kernel with an image that one of GENERATORS makes."""
        generator, variables = GENERATORS[by]
        self.configure(generator, directory=environment.get("KERNEL_INSTALL_CONF_ROOT", "etc/kernel").lstrip("/"))
        arguments = (*options, "add", RELEASE, KERNEL, "/srv/initrd.img")
        return self.ended(*arguments, code=code, **variables, **environment)

    def image(self, by: str, **environment: str) -> bytes:
        """The image that one of GENERATORS makes."""
        shutil.rmtree(self.directory / "boot/EFI", ignore_errors=True)
        self.add(by=by, code=0, **environment)
        (path,) = (self.directory / "boot/EFI/Linux").glob("*.efi")
        return path.read_bytes()
