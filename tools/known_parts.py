"""The parts that tools/parts.py gets: which file of which package each is, or what is made of several packages."""

from collections.abc import Mapping
from dataclasses import dataclass


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
    "ovmf-2025-code": Part("ovmf", "usr/share/OVMF/OVMF_CODE_4M.fd", "trixie"),
    "ovmf-legacy": Part("ovmf-legacy", "usr/share/ovmf/OVMF.legacy.fd"),
    "ovmf-2020": Part("ovmf", "usr/share/ovmf/OVMF.fd", "bullseye"),
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
    "docker-registry": Part("docker-registry", "usr/bin/docker-registry", "bookworm"),
    "aavmf": Part("qemu-efi-aarch64", "usr/share/qemu-efi-aarch64/QEMU_EFI.fd"),
    "aavmf-secboot": Part("qemu-efi-aarch64", "usr/share/AAVMF/AAVMF_CODE.secboot.fd"),
    "aavmf-2025-secboot": Part("qemu-efi-aarch64", "usr/share/AAVMF/AAVMF_CODE.secboot.fd", "trixie"),
    "aavmf-2022": Part("qemu-efi-aarch64", "usr/share/qemu-efi-aarch64/QEMU_EFI.fd", "bookworm"),
    "qemu-aarch64": Part("qemu-system-arm", "usr/bin/qemu-system-aarch64", "bookworm"),
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
