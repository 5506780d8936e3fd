"""What a starting recipe names: parts of this machine, or those of an image or configuration that is there."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from fuki_build.errors import RecipeError
from fuki_build.image.blob import Blob
from fuki_build.image.stub import STUB_FILES
from fuki_build.recipe.image_settings import ImageSettings
from fuki_build.recipe.mkosi_files import headers, project_files, read_text
from fuki_build.recipe.stubs import SYSTEM_STUBS

_AUTO = "auto"
_KERNELS = ("boot/vmlinuz-{}", "usr/lib/modules/{}/vmlinuz", "lib/modules/{}/vmlinuz", "boot/vmlinuz")
_INITRDS = (
    "boot/initrd.img-{}", "boot/initramfs-{}.img", "boot/initrd-{}", "usr/lib/modules/{}/initrd", "boot/initrd.img"
)  # fmt: skip
_OS_RELEASES = ("etc/os-release", "usr/lib/os-release")
_COMMAND_LINE = re.compile(r"KernelCommandLine\s*=(.*)")


class Beginning(Struct, frozen=True, kw_only=True):
    """The parts that a recipe starts with; paths are absolute, or as they were given. None is what was not found.

    With `base`, a finished image has them all. `notes` are for people.
    """

    base: str | None = None
    stub: str | None = None
    linux: str | None = None
    initrd: tuple[str, ...] = ()
    cmdline: str | None = None
    os_release: str | None = None
    name: str | None = None
    version: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def missing(self) -> tuple[str, ...]:
        """What a build needs and is not there."""
        return () if self.base else tuple(key for key in ("stub", "linux") if getattr(self, key) is None)


def machine_parts(root: Path = Path("/"), release: str | None = None) -> Beginning:
    """The stub, kernel, initrd and os-release that are installed, those of the running kernel first."""
    release = release or os.uname().release
    kernel = _first(root, _KERNELS, release) or _newest(root)
    # The initrd is that of the kernel that was found.
    own = kernel.name.removeprefix("vmlinuz-") if kernel and kernel.name.startswith("vmlinuz-") else release
    initrd = _first(root, _INITRDS, own) if kernel else None

    stubs = root / SYSTEM_STUBS.relative_to("/")
    has_stub = any(stubs.glob(STUB_FILES["systemd-stub"].replace("<arch>", "*")))
    os_release = _first(root, _OS_RELEASES, release)
    return Beginning(
        stub=_AUTO if has_stub else None,
        linux=None if kernel is None else str(kernel),
        initrd=() if initrd is None else (str(initrd),),
        os_release=None if os_release is None else str(os_release),
    )


def _first(root: Path, patterns: tuple[str, ...], release: str) -> Path | None:
    paths = (root / pattern.format(release) for pattern in patterns)
    return next((path for path in paths if path.is_file() and os.access(path, os.R_OK)), None)


def _newest(root: Path) -> Path | None:
    """A kernel of another release: in a container, that of the host is not installed."""
    kernels = [*(root / "boot").glob("vmlinuz-*"), *(root / "usr/lib/modules").glob("*/vmlinuz")]
    return max((path for path in kernels if path.is_file()), key=lambda path: path.stat().st_mtime, default=None)


def read_beginning(source: Path) -> Beginning:
    """The parts that a UKI, a ukify.conf or an mkosi.conf names. Raises `RecipeError` for other files."""
    if Blob.of_file(source).read_at(0, 2) == b"MZ":
        return Beginning(base=str(source.absolute()))
    sections = set(headers(read_text(source)))
    if "Fuki" in sections:
        raise RecipeError("it has a recipe already", where=str(source), hint=f"see what it makes: fuki plan {source}")
    if source.name == "mkosi.conf" or sections & {"Output", "Content", "Distribution"}:
        return _of_mkosi(source)
    if "UKI" in sections:
        return _of_ukify(source)
    hint = "give a UKI, a ukify.conf or an mkosi.conf"
    raise RecipeError("nothing in it says what an image is made of", where=str(source), hint=hint)


def _of_ukify(source: Path) -> Beginning:
    """What a ukify.conf says of the parts; its paths are relative to where ukify runs."""
    from fuki_build.ukify.call import read_call  # noqa: PLC0415 - only where there is such a file

    call = read_call(["build", f"--config={source}", "--output=image.efi"])
    cmdline, os_release = call.one("cmdline"), call.one("os_release")
    taken = {"linux", "initrd", "cmdline", "os_release", "stub", "output", "config"}
    left = sorted(name for name in call.options.settings if name not in taken)
    notes = [f"not taken over: {', '.join(left)}"] if left else []
    if os_release is not None and not os_release.startswith("@"):
        notes.append("not taken over: os-release, which is a text there, and a file in a recipe")
        os_release = None

    machine = machine_parts()
    return Beginning(
        stub=_path(call.one("stub")) or machine.stub,
        linux=_path(call.one("linux")),
        initrd=tuple(str(Path(path).absolute()) for path in call.many("initrd")),
        cmdline=_text(cmdline, notes) if cmdline else None,
        os_release=_path(os_release.removeprefix("@")) if os_release else machine.os_release,
        notes=tuple(notes),
    )


def _path(text: str | None) -> str | None:
    return str(Path(text).absolute()) if text else None


def _text(text: str, notes: list[str]) -> str | None:
    """A text, or that of the file behind `@`."""
    if not text.startswith("@"):
        return text
    if not Path(text[1:]).is_file():
        notes.append(f"not taken over: the command line, as there is no {text[1:]}")
        return None
    return read_text(Path(text[1:])).strip()


def _of_mkosi(source: Path) -> Beginning:
    """Name, version and command line of an mkosi project, and the kernel and initrd that it has put out, if any."""
    settings = ImageSettings(source.parent)
    name, version = settings.get("ImageId"), settings.get("ImageVersion")
    lines = [line for file in project_files(source.parent) or (source,) for line in _command_lines(read_text(file))]

    directory = source.parent / "mkosi.output"
    kernels, initrds = sorted(directory.glob("*.vmlinuz")), sorted(directory.glob("*.initrd"))
    machine = machine_parts()
    linux = str(kernels[-1].absolute()) if kernels else machine.linux
    own = (str(initrds[-1].absolute()),) if initrds else ()
    return Beginning(
        stub=machine.stub,
        linux=linux,
        initrd=own if kernels else machine.initrd,
        cmdline=" ".join(lines) or None,
        os_release=machine.os_release,
        name=name.value if name else None,
        version=version.value if version else None,
        notes=() if kernels else ("mkosi.output has no kernel (SplitArtifacts=kernel,initrd puts it there)",),
    )


def _command_lines(text: str) -> Iterator[str]:
    """What a file says of the kernel's command line; lines that go on are indented."""
    inside = False
    for line in text.splitlines():
        assignment = _COMMAND_LINE.fullmatch(line)
        inside = assignment is not None or (inside and line[:1].isspace() and bool(line.strip()))
        if inside:
            words = (assignment[1] if assignment else line).strip()
            yield from [words] if words and not words.startswith("#") else []
