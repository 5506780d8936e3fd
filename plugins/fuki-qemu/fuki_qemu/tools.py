"""The programs that are run, and which packages have them."""

import shutil
from collections.abc import Mapping

from fuki_build.errors import FukiError

QEMU = "qemu-system-x86_64"
SWTPM = "swtpm"
COMPILER = "gcc"
MTOOLS = ("mformat", "mmd", "mcopy")
_PACKAGES: Mapping[str, tuple[str, str, str]] = {
    QEMU: ("qemu-system-x86", "qemu-system-x86-core", "qemu-system-x86"),
    SWTPM: ("swtpm", "swtpm", "swtpm"),
    COMPILER: ("gcc libc6-dev", "gcc", "gcc"),
    **dict.fromkeys(MTOOLS, ("mtools", "mtools", "mtools")),
    "OVMF": ("ovmf", "edk2-ovmf", "edk2-ovmf"),
}
"""Packages of Debian, Fedora and Arch."""
_DISTRIBUTIONS = ("Debian", "Fedora", "Arch")


def is_there(program: str) -> bool:
    return shutil.which(program) is not None


def need(*programs: str) -> None:
    """Raise one `FukiError` that names all that is missing."""
    missing = [program for program in programs if not is_there(program)]
    if missing:
        raise missing_error(f"this machine has no {', '.join(missing)}", missing)


def missing_error(message: str, missing: list[str]) -> FukiError:
    """An error that names the packages."""
    named = []
    for index, distribution in enumerate(_DISTRIBUTIONS):
        packages = dict.fromkeys(_PACKAGES[name][index] for name in missing)
        named.append(f"{distribution}: {' '.join(packages)}")
    return FukiError(message, hint=f"install the packages ({'; '.join(named)})")
