"""Get real parts to build images from: stubs, kernels, firmware, and the tools to compare with.

    python tools/parts.py NAME…              print where each part is, downloading what is not there
    python tools/parts.py --quickstart DIR   lay out what examples/quickstart builds from
    python tools/parts.py --matrix DIR       lay out what examples/matrix builds from

On Debian, parts come from the distribution's packages, which are downloaded and unpacked below .parts/, not
installed. Elsewhere the quickstart uses the machine's own stub, kernel and firmware.
"""

import argparse
import fcntl
import gzip
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from known_parts import ALL, ENVIRONMENTS, TREES, Part, Tree

from fuki_build.builtin import apt
from fuki_build.errors import FukiError
from fuki_build.image.stub import decode_stub

CHECKOUT = Path(__file__).parent.parent
PARTS = CHECKOUT / ".parts"
OLDEST_STUB = (262, 1)


def get(name: str) -> Path:
    """Where a part, a tree or an environment is; downloads and unpacks its packages the first time."""
    if name in ENVIRONMENTS:
        return _get_environment(name)

    part = TREES.get(name) or ALL[name]
    place = PARTS / f"{name if isinstance(part, Tree) else part.package}-{part.suite}-{part.architecture}"
    PARTS.mkdir(exist_ok=True)

    with (PARTS / ".lock").open("w") as lock:
        # Tests run side by side, and apt is not made for that.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            _unpack_tree(part, place) if isinstance(part, Tree) else _unpack(part, place)

    if isinstance(part, Tree):
        return place

    paths = sorted(place.glob(part.path))
    if not paths:
        raise FukiError(f"the package {part.package} of {part.suite} has no {part.path}")

    return paths[0]


def _get_environment(name: str) -> Path:
    """Made in its place, which its programs know."""
    # Links to it may come and go; its programs are to know where it is.
    place = PARTS.resolve() / f"{name}-py{sys.version_info.major}.{sys.version_info.minor}"
    PARTS.mkdir(exist_ok=True)
    with (PARTS / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ready = place / ".ready"
        if not ready.exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", place], check=True, stdout=sys.stderr)
            command = [str(place / "bin/pip"), "install", "--quiet", "--no-compile", *ENVIRONMENTS[name].packages]
            subprocess.run(command, check=True, stdout=sys.stderr)
            ready.touch()
    return place


def _unpack(part: Part, place: Path) -> None:
    package = part.package
    if part.depends:
        package = apt.dependency(package, suite=part.suite, architecture=part.architecture)
    partial = place.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    for name in (package, *part.libraries):
        apt.unpack(apt.download(name, suite=part.suite, architecture=part.architecture), partial)
    partial.rename(place)


def _unpack_tree(tree: Tree, place: Path) -> None:
    partial = place.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    packages = partial / "packages"
    for deb in apt.download_closure(tree.packages, packages, suite=tree.suite, architecture=tree.architecture):
        apt.unpack(deb, partial)
        deb.unlink()
    packages.rmdir()

    # What the packages' scripts would have made.
    (partial / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (partial / "etc/group").write_text("root:x:0:\n")
    (partial / "etc/resolv.conf").touch()
    (partial / "usr/bin/awk").symlink_to("gawk")
    partial.rename(place)


def initrd(files: Mapping[str, bytes]) -> bytes:
    """A gzipped cpio archive of executable files and the directories that they stand in.

    Format: newc (Documentation/driver-api/early-userspace/buffer-format.rst).
    """
    directories = {str(parent): b"" for name in sorted(files) for parent in reversed(Path(name).parents[:-1])}
    archive = b""
    for inode, (name, content) in enumerate([*directories.items(), *files.items(), ("TRAILER!!!", b"")], 1):
        mode = 0o040755 if name in directories else 0o100755 if name in files else 0
        fields = (inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        for piece in (head, content):
            archive += piece + bytes(-len(piece) % 4)
    return gzip.compress(archive, mtime=0)


_EFI_ARCH = {"x86_64": "x64", "aarch64": "aa64"}
_SYSTEM_FIRMWARE: Mapping[str, tuple[str, ...]] = {
    "ovmf-generic": ("ovmf/OVMF.fd", "edk2/ovmf/OVMF_CODE.fd", "edk2/x64/OVMF.4m.fd", "qemu/ovmf-x86_64.bin"),
    "ovmf-amdsev": ("ovmf/OVMF.amdsev.fd", "edk2/ovmf/OVMF.amdsev.fd", "qemu/ovmf-x86_64-sev.bin"),
}


def _system_stub() -> Path | None:
    """The machine's own stub, if it is new enough to select firmware."""
    path = Path(f"/usr/lib/systemd/boot/efi/linux{_EFI_ARCH.get(platform.machine(), 'x64')}.efi.stub")
    try:
        version = decode_stub(path, path.read_bytes()).version
    except (FukiError, OSError):
        return None
    return path if version and version.numbers >= OLDEST_STUB else None


def _system_kernel() -> Path | None:
    release = platform.release()
    paths = (Path(f"/usr/lib/modules/{release}/vmlinuz"), Path(f"/boot/vmlinuz-{release}"))
    return next((path for path in paths if path.is_file()), None)


def _firmware(name: str) -> Path:
    """From a package where there is apt, so that every such machine builds the same; else the machine's own."""
    if shutil.which("apt-get"):
        return get(name)
    share = Path("/usr/share")
    firmware = next((share / path for path in _SYSTEM_FIRMWARE[name] if (share / path).is_file()), None)
    if firmware is None:
        raise FukiError(
            f"this machine has no {name}", hint="install your distribution's OVMF package (edk2-ovmf, ovmf)"
        )
    return firmware


def quickstart(directory: Path) -> None:
    """Lay out the parts of examples/quickstart, from this machine where it has them."""
    parts = {
        "linux.efi.stub": _system_stub() or get("stub-x64"),
        "vmlinuz": _system_kernel() or get("kernel-x64"),
        "firmware/ovmf-generic/OVMF.fd": _firmware("ovmf-generic"),
        "firmware/ovmf-amdsev/OVMF.fd": _firmware("ovmf-amdsev"),
    }
    _lay_out(directory, parts)


def matrix(directory: Path) -> None:
    """Lay out the parts of examples/matrix: those of two architectures, always from packages."""
    parts = {
        "linux-x64.efi.stub": "stub-x64",
        "linux-aa64.efi.stub": "stub-aa64",
        "vmlinuz-x64": "kernel-x64",
        "vmlinuz-aa64": "kernel-aa64",
        "firmware/ovmf-generic/OVMF.fd": "ovmf-generic",
        "firmware/aavmf/QEMU_EFI.fd": "aavmf",
    }
    _lay_out(directory, {name: get(part) for name, part in parts.items()})


def _lay_out(directory: Path, sources: Mapping[str, Path]) -> None:
    for name, source in sources.items():
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        print(f"{target}  from {source}")
    (directory / "initrd.img").write_bytes(initrd({"etc/initrd-release": b"ID=quickstart\nVERSION_ID=1\n"}))


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="Get real stubs, kernels and firmware.")
    names = [*ALL, *TREES, *ENVIRONMENTS]
    parser.add_argument("names", nargs="*", choices=[[], *names], metavar="NAME", help=", ".join(names))
    parser.add_argument("--quickstart", type=Path, metavar="DIR")
    parser.add_argument("--matrix", type=Path, metavar="DIR")

    chosen = parser.parse_args(arguments)
    try:
        if chosen.quickstart:
            quickstart(chosen.quickstart)
        if chosen.matrix:
            matrix(chosen.matrix)
        for name in chosen.names:
            print(get(name))
    except FukiError as error:
        print(f"parts: {error}", file=sys.stderr)
        return 1

    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
