"""Debian packages, made by dpkg-deb (deb-control(5), deb-version(7))."""

import hashlib
import re
from pathlib import Path
from typing import Annotated

from fuki_build.errors import RecipeError
from msgspec import Meta

from fuki_packages.content import Content, PackageOptions, PackageOutput, line, normalize, run

_ARCHITECTURES = {
    "x64": "amd64",
    "aa64": "arm64",
    "ia32": "i386",
    "arm": "armhf",
    "riscv64": "riscv64",
    "loongarch64": "loong64",
}
_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_VERSION = re.compile(r"[0-9][A-Za-z0-9.+~]*(-[A-Za-z0-9.+~]+)*")


class DebPackageOptions(PackageOptions, frozen=True, kw_only=True):
    maintainer: Annotated[str, Meta(description="who answers for the package: Name <address>")]


class DebOutput(PackageOutput):
    """A Debian package with the image, and with its addons beside it.

    >>> DebOutput.Options(maintainer="Acme <ops@acme.example>").directory
    '/boot/efi/EFI/Linux'
    """

    name = "deb"
    suffix = ".deb"
    Options = DebPackageOptions
    architectures = _ARCHITECTURES

    def pack(self, options: DebPackageOptions, content: Content) -> Path:
        _check(content)
        _write_control(content, line(options.maintainer, "maintainer"))

        package = content.root.parent / "package.deb"
        command = ["dpkg-deb", "--root-owner-group", "--threads-max=1", f"-Z{options.compression}"]
        run([*command, "--build", str(content.root), str(package)], content, "dpkg")
        return package


def _check(content: Content) -> None:
    if not _NAME.fullmatch(content.package):
        hint = 'small letters, digits and + - . do: package = "…"'
        raise RecipeError(f"{content.package!r} is no name of a Debian package", where="package", hint=hint)
    if not _VERSION.fullmatch(content.version):
        hint = "it begins with a digit; letters, digits and . + ~ - do"
        raise RecipeError(f"{content.version!r} is no version of a Debian package", where="fuki.version", hint=hint)


def _write_control(content: Content, maintainer: str) -> None:
    size = sum((content.root / path).stat().st_size for path in content.files)
    fields = {
        "Package": content.package,
        "Version": content.version,
        "Architecture": content.architecture,
        "Maintainer": maintainer,
        "Installed-Size": str(-(-size // 1024)),
        "Section": "kernel",
        "Priority": "optional",
        "Description": content.summary,
    }

    directory = content.root / "DEBIAN"
    directory.mkdir()
    (directory / "control").write_text("".join(f"{name}: {value}\n" for name, value in fields.items()))
    (directory / "md5sums").write_text("".join(f"{_md5(content, path)}  {path}\n" for path in content.files))
    normalize(content.root, content.time)


def _md5(content: Content, path: Path) -> str:
    """What dpkg --verify compares with."""
    with (content.root / path).open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
