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
from dataclasses import dataclass
from pathlib import Path

from fuki_build.builtin import apt
from fuki_build.errors import FukiError
from fuki_build.image.stub import decode_stub

CHECKOUT = Path(__file__).parent.parent
PARTS = CHECKOUT / ".parts"
OLDEST_STUB = (262, 1)


@dataclass(frozen=True)
class Part:
    """A file (or directory) in a package; `depends` follows a metapackage to the package that it stands for.

    `libraries` are packages that are unpacked into the same place.
    """

    package: str
    path: str
    suite: str = "sid"
    architecture: str = "amd64"
    depends: bool = False
    libraries: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tree:
    """A root file system of packages and all that they depend on, whose scripts have not run."""

    packages: tuple[str, ...]
    suite: str = "sid"
    architecture: str = "amd64"


@dataclass(frozen=True)
class Environment:
    """A virtual environment of Python packages that must not stand beside fuki's own."""

    packages: tuple[str, ...]


def _stub(name: str, suite: str = "sid", architecture: str = "amd64") -> Part:
    return Part("systemd-boot-efi", f"usr/lib/systemd/boot/efi/{name}", suite, architecture)


def _python(version: str, suite: str) -> Part:
    """An interpreter with its standard library, which runs by the loader in the same place."""
    libraries = (f"libpython{version}-minimal", f"libpython{version}-stdlib", *_PYTHON_LIBRARIES)
    return Part(f"python{version}-minimal", f"usr/bin/python{version}", suite, libraries=libraries)


_OTHERS = {"ia32": "i386", "arm": "armhf", "riscv64": "riscv64", "loongarch64": "loong64"}
"""Machines for which there are stubs but no kernel here, with Debian's names of them."""

_FWUPD_LIBRARIES = (
    "libfwupd3",
    "libflashrom1",
    "libftdi1-2",
    "libjaylink0",
    "libpci3",
    "libgpgme11",
    "libjson-glib-1.0-0",
    "libjcat1",
    "libprotobuf-c1",
    "libtss2-mu0",
    "libtss2-sys1",
    "libtss2-esys-3.0.2-0",
    "libtss2-tcti-cmd0",
    "libtss2-tcti-device0",
    "libtss2-tcti-mssim0",
    "libtss2-tcti-swtpm0",
    "libxmlb2",
)
"""What fwupdtool is linked with and few machines have; tools/install-peers sees to the others."""

_PESIGN_LIBRARIES = ("libc6", "libefivar1t64", "libnspr4", "libnss3", "libpopt0", "libsqlite3-0", "zlib1g")
_OPENSSL_LIBRARIES = ("libc6", "libssl3t64", "libzstd1", "zlib1g")
"""What programs that need a newer libc than the machine's are run with, through its own ld.so."""

_DRACUT_LIBRARIES = ("dracut-install", "libc6", "libkmod2", "libsystemd0", "libcap2", "libgcc-s1")

_PYTHON_LIBRARIES = (
    "libbz2-1.0",
    "libc6",
    "libexpat1",
    "libffi8",
    "libgcc-s1",
    "liblzma5",
    "libsqlite3-0",
    "libssl3t64",
    "libstdc++6",
    "libuuid1",
    "libzstd1",
    "zlib1g",
)
"""What Python's own modules and those of wheels are linked with."""

_TPM_LIBRARIES = (
    "libtss2-esys-3.0.2-0t64",
    "libtss2-mu-4.0.1-0t64",
    "libtss2-rc0t64",
    "libtss2-sys1t64",
    "libtss2-tctildr0t64",
    "libtss2-tcti-device0t64",
    "libsystemd-shared",
)
"""What systemd's tools for TPMs load; all lie below usr/lib of their part."""

ALL: Mapping[str, Part] = {
    "stub-x64": _stub("linuxx64.efi.stub"),
    "stub-aa64": _stub("linuxaa64.efi.stub", architecture="arm64"),
    "addon-stub-x64": _stub("addonx64.efi.stub"),
    "addon-stub-aa64": _stub("addonaa64.efi.stub", architecture="arm64"),
    **{f"stub-{efi}": _stub(f"linux{efi}.efi.stub", architecture=debian) for efi, debian in _OTHERS.items()},
    **{f"addon-stub-{efi}": _stub(f"addon{efi}.efi.stub", architecture=debian) for efi, debian in _OTHERS.items()},
    **{f"boot-{efi}": _stub(f"systemd-boot{efi}.efi", architecture=debian) for efi, debian in _OTHERS.items()},
    "boot-x64": _stub("systemd-bootx64.efi"),
    "stub-252-x64": _stub("linuxx64.efi.stub", "bookworm"),
    "stub-257-x64": _stub("linuxx64.efi.stub", "trixie"),
    "stubble": Part("stubble", "usr/lib/stubble/stubble.efi"),
    "ukify": Part("systemd-ukify", "usr/bin/ukify"),
    "ukify-257": Part("systemd-ukify", "usr/bin/ukify", "trixie"),
    "hwids-aa64": Part("systemd-ukify", "usr/lib/systemd/boot/hwids/aa64"),
    "60-ukify": Part("systemd-ukify", "usr/lib/kernel/install.d/60-ukify.install"),
    "kernel-install": Part("systemd", "usr/bin/kernel-install"),
    "kernel-install-plugins": Part("systemd", "usr/lib/kernel/install.d"),
    "dracut": Part("dracut-core", "usr/bin/dracut", libraries=_DRACUT_LIBRARIES),
    "bootctl": Part("systemd-boot-tools", "usr/bin/bootctl"),
    "systemd-analyze": Part("systemd", "usr/bin/systemd-analyze"),
    "fwupdtool": Part("fwupd", "usr/bin/fwupdtool", "bookworm", libraries=_FWUPD_LIBRARIES),
    "systemd-sbsign": Part("systemd-repart", "usr/lib/systemd/systemd-sbsign"),
    "osslsigncode": Part("osslsigncode", "usr/bin/osslsigncode", "trixie", libraries=_OPENSSL_LIBRARIES),
    "pesign": Part("pesign", "usr/bin/pesign", libraries=_PESIGN_LIBRARIES),
    "pkcs11-provider": Part("pkcs11-provider", "usr/lib/*/ossl-modules/pkcs11.so", libraries=_OPENSSL_LIBRARIES),
    "systemd-measure": Part("systemd-tpm", "usr/lib/systemd/systemd-measure", libraries=_TPM_LIBRARIES),
    "systemd-pcrlock": Part("systemd-tpm", "usr/lib/systemd/systemd-pcrlock", libraries=_TPM_LIBRARIES),
    "libsystemd-shared": Part("libsystemd-shared", "usr/lib/*/systemd/libsystemd-shared-*.so"),
    "objdump-multiarch": Part("binutils-multiarch", "usr/bin/x86_64-linux-gnu-objdump", "bookworm"),
    "mkosi": Part("mkosi", "usr/lib/python3/dist-packages/mkosi"),
    "kernel-x64": Part("linux-image-cloud-amd64", "boot/vmlinuz-*", "trixie", depends=True),
    "efivarfs-x64": Part(
        "linux-image-cloud-amd64", "usr/lib/modules/*/kernel/fs/efivarfs/efivarfs.ko.xz", "trixie", depends=True
    ),
    "modules-x64": Part("linux-image-cloud-amd64", "usr/lib/modules/*/kernel", "trixie", depends=True),
    "kernel-aa64": Part("linux-image-cloud-arm64", "boot/vmlinuz-*", "trixie", "arm64", depends=True),
    "dtbs-aa64": Part("linux-image-cloud-arm64", "usr/lib/linux-image-*", "trixie", "arm64", depends=True),
    "ovmf-generic": Part("ovmf-generic", "usr/share/ovmf/OVMF.fd"),
    "ovmf-amdsev": Part("ovmf-amdsev", "usr/share/ovmf/OVMF.amdsev.fd"),
    "ovmf-inteltdx": Part("ovmf-inteltdx", "usr/share/ovmf/OVMF.inteltdx.ms.fd"),
    "ovmf-2025": Part("ovmf", "usr/share/ovmf/OVMF.fd", "trixie"),
    "shim": Part("shim-signed", "usr/lib/shim/shimx64.efi.signed", "trixie"),
    "ovmf-2022": Part("ovmf", "usr/share/ovmf/OVMF.fd", "bookworm"),
    "ovmf-2022-code": Part("ovmf", "usr/share/OVMF/OVMF_CODE_4M.fd", "bookworm"),
    "ovmf-vars": Part("ovmf-generic", "usr/share/OVMF/OVMF_VARS_4M.fd"),
    "ovmf-vars-ms": Part("ovmf-generic", "usr/share/OVMF/OVMF_VARS_4M.ms.fd"),
    "ovmf-secboot": Part("ovmf-generic", "usr/share/OVMF/OVMF_CODE_4M.secboot.fd"),
    "ovmf-code": Part("ovmf-generic", "usr/share/OVMF/OVMF_CODE_4M.fd"),
    "python-3.13": _python("3.13", "trixie"),
    "python-3.14": _python("3.14", "sid"),
    "busybox": Part("busybox-static", "usr/bin/busybox"),
    "aavmf": Part("qemu-efi-aarch64", "usr/share/qemu-efi-aarch64/QEMU_EFI.fd"),
}


TREES: Mapping[str, Tree] = {
    # What mkosi runs to make a disk image, and what images of tests open their root file systems with.
    "mkosi-tools": Tree(
        (
            *("bash", "coreutils", "cpio", "cryptsetup-bin", "dash", "dosfstools", "e2fsprogs", "findutils", "gawk"),
            *("grep", "kmod", "mtools", "python3", "python3-pefile", "sed", "systemd-repart", "systemd-tpm", "tar"),
            *("util-linux", "zstd"),
        )
    ),
    # systemd-sysupdate and what it starts: systemd-pull, and gpg to verify what was pulled.
    "sysupdate-tools": Tree(("coreutils", "dash", "gpg", "libcurl4t64", "libssl3t64", "systemd-container")),
    # A remote execution engine's workers and clients.
    "buildbox": Tree(("buildbox",)),
}


ENVIRONMENTS: Mapping[str, Environment] = {
    # A remote execution engine's server. The last version for Python 3.11; with psycopg 3 beside it, it hangs.
    "buildgrid": Environment(("buildgrid==0.4.4", "psycopg2-binary>=2.9")),
}


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
    found = sorted(place.glob(part.path))
    if not found:
        raise FukiError(f"the package {part.package} of {part.suite} has no {part.path}")
    return found[0]


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
    found = next((share / path for path in _SYSTEM_FIRMWARE[name] if (share / path).is_file()), None)
    if found is None:
        raise FukiError(
            f"this machine has no {name}", hint="install your distribution's OVMF package (edk2-ovmf, ovmf)"
        )
    return found


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
