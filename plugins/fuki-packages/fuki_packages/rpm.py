"""RPM packages, made by rpmbuild (rpm-spec(5))."""

import re
from pathlib import Path
from typing import Annotated

from fuki_build.errors import RecipeError
from msgspec import Meta

from fuki_packages.content import Content, PackageOptions, PackageOutput, line, run

_ARCHITECTURES = {
    "x64": "x86_64",
    "aa64": "aarch64",
    "ia32": "i686",
    "arm": "armv7hl",
    "riscv64": "riscv64",
    "loongarch64": "loongarch64",
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~^-]*")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~^]*")
_PAYLOADS = {"none": "w.ufdio", "xz": "w6.xzdio", "zstd": "w3.zstdio"}
_MACROS = {
    "_buildhost": "localhost",
    "use_source_date_epoch_as_buildtime": "1",
    "clamp_mtime_to_source_date_epoch": "1",
    "source_date_epoch_from_changelog": "0",
    "_build_id_links": "none",
    "debug_package": "%{nil}",
    "__spec_install_post": "%{nil}",
    "__find_provides": "/bin/true",
    "__find_requires": "/bin/true",
    "_use_internal_dependency_generator": "0",
}
"""Nothing of the machine that builds, and nothing that looks into the files."""


class RpmPackageOptions(PackageOptions, frozen=True, kw_only=True):
    license: Annotated[str, Meta(description="of what is in the image, as an SPDX expression")]
    release: Annotated[str, Meta(description="which package of the same image it is")] = "1"


class RpmOutput(PackageOutput):
    """An RPM package with the image, and with its addons beside it.

    >>> RpmOutput.Options(license="GPL-2.0-only").release
    '1'
    """

    name = "rpm"
    suffix = ".rpm"
    Options = RpmPackageOptions
    architectures = _ARCHITECTURES

    def pack(self, options: RpmPackageOptions, content: Content) -> Path:
        _check(content, options)
        directory = content.root.parent
        (directory / "package.spec").write_text(_spec(content, options))

        macros = {**_MACROS, "_topdir": str(directory), "_binary_payload": _PAYLOADS[options.compression]}
        macros["_rpmfilename"] = "package.rpm"
        defined = [word for name, value in macros.items() for word in ("--define", f"{name} {value}")]

        target = ("--target", content.architecture)
        run(["rpmbuild", "-bb", "--quiet", *defined, *target, str(directory / "package.spec")], content, "rpm")
        return directory / "RPMS" / "package.rpm"


def _check(content: Content, options: RpmPackageOptions) -> None:
    if not _NAME.fullmatch(content.package):
        raise RecipeError(f"{content.package!r} is no name of an RPM package", where="package")
    for where, value in (("fuki.version", content.version), ("release", options.release)):
        if not _WORD.fullmatch(value):
            hint = "letters, digits and . _ + ~ ^ do"
            raise RecipeError(f"{value!r} is no version of an RPM package", where=where, hint=hint)


def _spec(content: Content, options: RpmPackageOptions) -> str:
    """The description; names of files and directories need no quotes (`content.laid_out`)."""
    files = "\n".join(f"%attr(0644, root, root) /{path}" for path in content.files)
    return f"""\
Name: {content.package}
Version: {content.version}
Release: {options.release}
Summary: {_plain(content.summary)}
License: {_plain(line(options.license, "license"))}
AutoReqProv: no

%description
{_plain(content.summary)}

%install
cp -a "$HOME/root/." "%{{buildroot}}/"

%files
{files}
"""


def _plain(text: str) -> str:
    """A text without macros."""
    return text.replace("%", "%%")
