"""kernel-install 262.1 and dracut 112 out of their packages, each in a root directory of its own.

With a name and arguments, this module runs one of them in the current directory, which is such a root.
"""

import os
import shutil
import sys
from pathlib import Path

import parts

from tests.support.scratch_root import PATH, Ended, ScratchRoot, inside

RELEASE = "6.12.0-test"
"""The kernel's, whatever it is in truth."""
MACHINE_ID = "8f2d1f0e6d8a4ff7a1b2c3d4e5f60718"


class KernelInstallRoot(ScratchRoot):
    """A machine with a kernel to install, and kernel-install with its plugins; those of the machine are not there."""

    def lay_out(self) -> None:
        super().lay_out()
        for plugin in sorted(parts.get("kernel-install-plugins").iterdir()):
            self.write_program(f"etc/kernel/install.d/{plugin.name}", plugin.read_text())

        self.write_program("etc/kernel/install.d/60-ukify.install", parts.get("60-ukify").read_text())
        # It says of what machine the tests run on, which is no business of theirs.
        self.write_program("opt/bin/systemd-detect-virt", "#!/bin/sh\nexit 1\n")
        self.write("etc/machine-id", f"{MACHINE_ID}\n")
        self.write("etc/kernel/entry-token", "acme\n")
        self.write("srv/initrd.img", b"initrd of the call")
        self.write("srv/vmlinuz", parts.get("kernel-x64").read_bytes())

        for name in ("ovmf-generic", "ovmf-amdsev"):
            self.write(f"srv/{name}/OVMF.fd", parts.get(name).read_bytes())

    def kernel_install(self, *arguments: str, **environment: str) -> Ended:
        variables = {
            "LD_LIBRARY_PATH": str(Path(inside(parts.get("libsystemd-shared"))).parent),
            "KERNEL_INSTALL_BOOT_STUB": inside(parts.get("stub-x64")),
            **environment,
        }
        return self.run(inside(parts.get("kernel-install")), *arguments, environment=variables)


class DracutRoot(ScratchRoot):
    """A machine with dracut, which makes a small initrd."""

    def lay_out(self) -> None:
        super().lay_out()
        package = parts.get("dracut").parents[2]
        shutil.copytree(package / "usr/lib/dracut", self.directory / "opt/dracut")
        # Its libc is newer than the machine's may be: it runs with its own.
        names = ("usr/lib64/ld-linux-x86-64.so.2", "usr/lib/x86_64-linux-gnu", "usr/lib/dracut/dracut-install")
        loader, libraries, program = (inside(package / name) for name in names)
        (self.directory / "opt/dracut/dracut-install").unlink()
        self.write_program(
            "opt/dracut/dracut-install", f'#!/bin/sh\nexec {loader} --library-path {libraries} {program} "$@"\n'
        )
        self.write("srv/vmlinuz", parts.get("kernel-x64").read_bytes())

        self.write("srv/ovmf-generic/OVMF.fd", parts.get("ovmf-generic").read_bytes())

    def dracut(self, *arguments: str, path: str = "/usr/local/bin", **environment: str) -> Ended:
        """Run it with a directory at the head of its PATH, and with the modules that need nothing of the machine."""
        options = (
            *("--no-kernel", "--no-early-microcode", "--nohardlink", "--modules", "base", "--no-compress"),
            *("--uefi-stub", inside(parts.get("stub-x64")), "--conf", "/dev/null", "--confdir", "/srv/empty"),
        )
        variables = {"dracutbasedir": "/opt/dracut", "PATH": f"{path}:{PATH}", "SOURCE_DATE_EPOCH": "0", **environment}
        return self.run("bash", inside(parts.get("dracut")), *options, *arguments, environment=variables)


def install_wrappers(directory: Path) -> None:
    """Programs kernel-install and dracut that run in the current directory as their root."""
    search = ":".join(str(Path(__file__).parents[2] / name) for name in ("", "tools"))
    for name in ("kernel-install", "dracut"):
        path = directory / name
        path.write_text(f'#!/bin/sh\nPYTHONPATH={search} exec {sys.executable} -m {__name__} {name} "$@"\n')
        path.chmod(0o755)


def main(name: str, *arguments: str) -> int:
    root = Path.cwd()
    if name == "kernel-install":
        variables = {key: value for key, value in os.environ.items() if key.startswith("KERNEL_INSTALL_")}
        ended = KernelInstallRoot(root).kernel_install(*arguments, **variables)
    else:
        ended = DracutRoot(root).dracut(*arguments, path=os.environ["PATH"].partition(":")[0])
    sys.stdout.write(ended.out)
    sys.stderr.write(ended.err)
    return ended.code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
