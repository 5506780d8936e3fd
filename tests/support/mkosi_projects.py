"""mkosi projects whose images need no package manager, and unchanged builds of them."""

import lzma
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import parts
import pefile

KERNEL = "usr/lib/modules/6.12.0"
DEBUG_PROFILE = """\
[UKIProfile]
Profile=
    ID=debug
    TITLE=Debug
Cmdline=systemd.debug_shell=1
SignExpectedPcr=yes
"""
_PARTS = {
    f"{KERNEL}/vmlinuz": "kernel-x64",
    "usr/bin/busybox": "busybox",
    "usr/lib/systemd/boot/efi/linuxx64.efi.stub": "stub-x64",
    "usr/lib/systemd/boot/efi/addonx64.efi.stub": "addon-stub-x64",
}
_DEPMOD = ("dep", "dep.bin", "builtin", "builtin.modinfo", "order", "alias", "symbols", "softdep", "devname")
"""What depmod would write, which does nothing here."""
_MODULES = ("virtio_blk", "dm-mod", "dm-bufio", "reed_solomon", "dm-verity")
"""What a root file system with verity takes, in the order of what they need of each other."""
_INIT = """\
#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /root /run
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs dev /dev
for module in {modules}; do /bin/busybox insmod /modules/$module.ko; done
for word in $(/bin/busybox cat /proc/cmdline); do
    case $word in roothash=*) hash=${{word#roothash=}} ;; esac
done
DM_DISABLE_UDEV=1 LD_LIBRARY_PATH=/lib /bin/veritysetup open /dev/vda2 root /dev/vda3 "$hash"
/bin/busybox mount -o ro /dev/mapper/root /root
exec /bin/busybox switch_root /root /sbin/init
"""


def lay_out(directory: Path, configuration: Mapping[str, str]) -> Path:
    """An mkosi project with these files; its image is a kernel, the stubs, a shell, and a depmod that does nothing.

    Beside them are firmware/ovmf-generic and firmware/ovmf-amdsev, and the keys db.key and db.crt.
    """
    skeleton = directory / "mkosi.skeleton"
    for name, part in _PARTS.items():
        (skeleton / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(parts.get(part), skeleton / name)
    for name in ("bin", "lib", "sbin"):
        (skeleton / "usr" / name).mkdir(exist_ok=True)
        (skeleton / name).symlink_to(f"usr/{name}")
    (skeleton / "usr/bin/busybox").chmod(0o755)
    (skeleton / "usr/bin/sh").symlink_to("busybox")
    write_program(skeleton / "usr/bin/depmod", "#!/bin/sh\nexit 0\n")
    for name in _DEPMOD:
        (skeleton / KERNEL / f"modules.{name}").touch()
    (skeleton / "usr/lib/os-release").write_text("ID=acme\nVERSION_ID=7\n")
    (skeleton / "etc").mkdir()
    (skeleton / "etc/os-release").symlink_to("../usr/lib/os-release")

    for name in ("ovmf-generic", "ovmf-amdsev"):
        (directory / "firmware" / name).mkdir(parents=True)
        shutil.copyfile(parts.get(name), directory / "firmware" / name / "OVMF.fd")
    request = ("req", "-x509", "-newkey", "rsa:2048", "-noenc", "-subj", "/CN=db", "-keyout", "db.key")
    subprocess.run(["openssl", *request, "-out", "db.crt"], cwd=directory, check=True, capture_output=True)

    for name, text in configuration.items():
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_text(text)
    return directory


def write_program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def tools_python() -> str:
    """The version of the Python that mkosi runs in its tools tree."""
    return (parts.get("mkosi-tools") / "usr/bin/python3").readlink().name.removeprefix("python")


def verity_initrd() -> bytes:
    """An initrd that opens the root file system in /dev/vda2 with `roothash=` of the command line, and starts it."""
    tools = parts.get("mkosi-tools")
    library = tools / "usr/lib/x86_64-linux-gnu"
    loader = library / "ld-linux-x86-64.so.2"
    command: list[str | Path] = [loader, "--library-path", library, "--list", tools / "usr/sbin/veritysetup"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    libraries = [Path(line.split("=>")[1].split()[0]) for line in listed.splitlines() if "=> /" in line]

    files = {
        "init": _INIT.format(modules=" ".join(_MODULES)).encode(),
        "bin/busybox": parts.get("busybox").read_bytes(),
        "bin/veritysetup": (tools / "usr/sbin/veritysetup").read_bytes(),
        "lib64/ld-linux-x86-64.so.2": loader.read_bytes(),
        **{f"lib/{path.name}": path.read_bytes() for path in libraries},
    }
    all_modules = parts.get("modules-x64")
    for name in _MODULES:
        (module,) = all_modules.rglob(f"{name}.ko.xz")
        files[f"modules/{name}.ko"] = lzma.decompress(module.read_bytes())
    return parts.initrd(files)


class Mkosi:
    """Runs mkosi for a project; all that it writes outside of that is in `scratch`.

    Without a tools tree of the project's, its sandbox has this Python: it has a private root, into which mkosi mounts
    what ExtraSearchPaths= names.
    """

    def __init__(self, scratch: Path, project: Path, *, tools_tree: bool = False) -> None:
        self.scratch = scratch
        self.project = project
        self._search_paths = [] if tools_tree else [self._lay_out_python(), sys.base_prefix]
        for name in ("home", "workspace", "cache", "packages"):
            (scratch / name).mkdir()

    def _lay_out_python(self) -> Path:
        """A directory with this Python, and with pefile, which mkosi splits images with."""
        directory = self.scratch / "python"
        site = directory / "site"
        shutil.copytree(Path(pefile.__file__).parent / "ordlookup", site / "ordlookup")
        shutil.copy(pefile.__file__, site)
        this = os.path.realpath(sys.executable)
        write_program(directory / "python3", f'#!/bin/sh\nPYTHONPATH={site} exec {this} "$@"\n')
        return directory

    def build(self, *arguments: str) -> str:
        """`mkosi build`; returns what it told. Fails with that where mkosi failed."""
        command = (
            *(sys.executable, "-m", "mkosi", "-C", str(self.project)),
            f"--workspace-directory={self.scratch / 'workspace'}",
            f"--cache-directory={self.scratch / 'cache'}",
            f"--package-cache-directory={self.scratch / 'packages'}",
            *(f"--extra-search-path={path}" for path in self._search_paths),
            *arguments,
            "build",
        )

        home = str(self.scratch / "home")
        own = {"PYTHONPATH": str(parts.get("mkosi").parent), "HOME": home, "XDG_CACHE_HOME": home, "TMPDIR": home}
        done = subprocess.run(
            command,
            env={**os.environ, "LC_ALL": "C.UTF-8", **own},
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )

        assert done.returncode == 0, done.stderr
        return done.stderr
