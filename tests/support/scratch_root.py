"""A root directory of a test's own, with the machine's programs read-only, and nothing else of the machine.

Whoever runs in it cannot reach, much less write, the machine's /boot, /etc or /var.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import parts
import pefile

_DIRECTORIES = ("boot", "dev", "etc/kernel/install.d", "proc", "root", "run", "srv", "tmp", "usr", "var/tmp", "opt/bin")
_ETC = ("alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "passwd", "group")
"""What programs of the machine need of its /etc to run."""
PARTS = "/opt/parts"
PATH = "/opt/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# Binds are read-only by a second mount, which the kernel keeps for all that is below in this namespace.
_SCRIPT = """\
set -eu
root=$1; shift
mount --bind "$root" "$root"
bind() { [ -d "$root$2" ] || mkdir -p "$root$2"; mount --rbind "$1" "$root$2"; mount -o remount,bind,ro "$root$2"; }
bind /usr /usr
if [ -d /usr/lib/kernel ]; then bind "$root/srv/empty" /usr/lib/kernel; fi
bind "$PARTS_FROM" /opt/parts
[ "$PYTHON_FROM" = /usr ] || bind "$PYTHON_FROM" "$PYTHON_FROM"
mount --rbind /dev "$root/dev"
mount --rbind /proc "$root/proc"
mount --bind "$root/srv/proc-cmdline" "$root/proc/cmdline"
exec chroot "$root" "$@"
"""


@dataclass(frozen=True)
class Ended:
    """How a program ended."""

    code: int
    out: str
    err: str


class ScratchRoot:
    """The root directory, with what a test puts into it; paths of the tests' parts are below PARTS."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def lay_out(self) -> None:
        """Make the directory."""
        directory = self.directory
        for name in _DIRECTORIES:
            (directory / name).mkdir(parents=True)

        for name in ("bin", "sbin", "lib", "lib32", "lib64"):
            (directory / name).symlink_to(f"usr/{name}")

        for name in _ETC:
            source = Path("/etc") / name
            if source.is_dir():
                shutil.copytree(source, directory / "etc" / name, symlinks=True)
            elif source.exists():
                shutil.copy(source, directory / "etc" / name)

        (directory / "srv/empty").mkdir()
        self.write("srv/proc-cmdline", "BOOT_IMAGE=/vmlinuz root=LABEL=booted initrd=/initrd ro\n")
        self.write("etc/os-release", 'ID=acme\nPRETTY_NAME="Acme 41"\n')
        self._write_python()

    def _write_python(self) -> None:
        """python3 for programs of others, with pefile, which ukify reads images with."""
        site = self.directory / "opt/site"
        shutil.copytree(Path(pefile.__file__).parent / "ordlookup", site / "ordlookup")
        shutil.copy(pefile.__file__, site)
        self.write_program(
            "opt/bin/python3", f'#!/bin/sh\nPYTHONPATH=/opt/site exec {os.path.realpath(sys.executable)} "$@"\n'
        )

    def write(self, name: str, content: str | bytes) -> Path:
        """Write a file; its name is relative to the root."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def write_program(self, name: str, text: str) -> Path:
        path = self.write(name, text)
        path.chmod(0o755)
        return path

    def run(self, *command: str, environment: Mapping[str, str] | None = None) -> Ended:
        """Run a program of the root in it. Its environment has a PATH, and what is given."""
        namespace: Sequence[str] = ("unshare", "--mount", "--propagation=private")
        if os.geteuid() != 0:
            namespace = (*namespace, "--user", "--map-root-user")

        inside = ["env", "-i", f"PATH={PATH}", *(f"{key}={value}" for key, value in (environment or {}).items())]
        done = subprocess.run(
            [*namespace, "sh", "-c", _SCRIPT, "sh", str(self.directory), *inside, *command],
            env={
                "PATH": os.environ["PATH"],
                "PARTS_FROM": os.path.realpath(parts.PARTS),
                "PYTHON_FROM": os.path.realpath(sys.base_prefix),
            },
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )

        return Ended(done.returncode, done.stdout, done.stderr)

    def listing(self) -> dict[str, bytes]:
        """Every file of /boot, with its content."""
        boot = self.directory / "boot"
        return {str(path.relative_to(boot)): path.read_bytes() for path in sorted(boot.rglob("*")) if path.is_file()}


def inside(path: Path) -> str:
    """The name that one of the tests' parts has in the root."""
    return f"{PARTS}/{path.relative_to(parts.PARTS)}"
