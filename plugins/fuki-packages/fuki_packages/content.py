"""What is in a package, of either kind: the image and its addons, laid out as they are to be on the machine."""

import os
import re
import shutil
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from fuki_build import Blob, programs
from fuki_build.errors import FukiError, RecipeError
from fuki_build.hooks import NO_DIGESTS, Build, BuiltImage, DigestNeeds, Options, OutputContext, OutputFormat
from msgspec import Meta, Struct

_EPOCH = 315_532_800
"""1980-01-01, before which FAT has no dates: the time of all files, unless SOURCE_DATE_EPOCH says another."""
_TIMEOUT = 1800.0
_DIRECTORY = re.compile(r"(/[A-Za-z0-9._+-]+)+")
_DOTS = re.compile(r"/\.\.?(/|$)")
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~^+-]*")
"""A file name that needs no quotes in any package's description."""


class PackageOptions(Options, frozen=True, kw_only=True):
    """What packages of both kinds say."""

    package: Annotated[str | None, Meta(description="the package's name; by default the recipe's")] = None
    side_by_side: Annotated[
        bool, Meta(description="put the version into the package's name, so that a machine keeps several releases")
    ] = False
    directory: Annotated[str, Meta(description="where the image is on the machine")] = "/boot/efi/EFI/Linux"
    summary: Annotated[str | None, Meta(description="one line that tells what it is")] = None
    compression: Annotated[
        Literal["none", "xz", "zstd"], Meta(description="of the package; kernels are compressed by themselves")
    ] = "none"


class Content(Struct, frozen=True, kw_only=True):
    """What a package is made of: the texts that describe it, and its files in `root`, the machine's root directory."""

    package: str
    version: str
    architecture: str
    summary: str
    root: Path
    files: tuple[Path, ...]
    time: int


class PackageOutput(OutputFormat):
    """A package with the image, and with its addons beside it, which some program makes of laid out files."""

    architectures: ClassVar[Mapping[str, str]]
    """The packages' own words for machines, by EFI's names of these."""
    needs_image_file = True

    def digests(self, options: Any) -> DigestNeeds:  # noqa: ANN401, ARG002
        return NO_DIGESTS

    def emit(self, options: Any, build: Build, context: OutputContext) -> None:  # noqa: ANN401
        with laid_out(options, build, self.architectures) as content:
            context.write(context.path, Blob.of_file(self.pack(options, content)))

    @abstractmethod
    def pack(self, options: Any, content: Content) -> Path:  # noqa: ANN401
        """Make the package, beside the directory `content.root`. Raises `FukiError`."""


@contextmanager
def laid_out(options: PackageOptions, build: Build, architectures: Mapping[str, str]) -> Iterator[Content]:
    """The content of a package, in a directory that is there as long as the `with` lasts. Raises `RecipeError`."""
    architecture = architectures.get(build.uki.layout.machine)
    if architecture is None:
        raise RecipeError(f"there are no such packages for {build.uki.layout.machine}", where="format")
    if not build.version:
        raise RecipeError("the recipe has no version", where="fuki.version", hint='add version = "…"')
    if not _DIRECTORY.fullmatch(options.directory) or _DOTS.search(options.directory):
        hint = "for instance /boot/efi/EFI/Linux; letters, digits and . _ + - do"
        raise RecipeError(f"{options.directory!r} is no directory for a package", where="directory", hint=hint)

    name = options.package or build.name
    time = epoch()
    with programs.scratch_directory("fuki-") as workspace:
        root = workspace / "root"
        files = tuple(_lay_out(root, options.directory.lstrip("/"), build))
        normalize(root, time)
        yield Content(
            package=f"{name}-{build.version}" if options.side_by_side else name,
            version=build.version,
            architecture=architecture,
            summary=line(options.summary or f"unified kernel image {build.name}", "summary"),
            root=root,
            files=files,
            time=time,
        )


def normalize(root: Path, time: int) -> None:
    """Give all that is below a directory the same time, and modes that do not depend on who builds."""
    for path in (*root.rglob("*"), root):
        path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (time, time))


def _lay_out(root: Path, directory: str, build: Build) -> Iterator[Path]:
    """Copy the images; their paths relative to the root."""
    image = f"{build.name}_{build.version}.efi"
    names = {image: build.uki}
    names |= {f"{image}.extra.d/{addon.layout.name}.addon.efi": addon for addon in build.addons}
    for name, built in names.items():
        if not all(_IMAGE.fullmatch(part) for part in name.split("/")):
            raise RecipeError(f"{name!r} cannot be the name of a file in a package", where="fuki.name")
        path = root / directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_file(built), path)
        yield Path(directory) / name


def _file(built: BuiltImage) -> Path:
    if built.path is None:
        hint = '[[fuki.output]] with format = "addon" writes it'
        raise RecipeError(f"no output writes the addon {built.layout.name}", where="fuki.output", hint=hint)
    return built.path


def line(text: str, where: str) -> str:
    """A text that stands in one line. Raises `RecipeError`."""
    if not text.strip() or not text.isprintable():
        raise RecipeError(f"{text!r} is not one line of text", where=where)
    return text.strip()


def epoch() -> int:
    """The time of everything in a package, in seconds. Raises `RecipeError` where SOURCE_DATE_EPOCH is none."""
    text = os.environ.get("SOURCE_DATE_EPOCH") or str(_EPOCH)
    if not re.fullmatch("[0-9]{1,10}", text):
        raise RecipeError("SOURCE_DATE_EPOCH is not a number of seconds since 1970", where="SOURCE_DATE_EPOCH")
    return int(text)


def run(command: Sequence[str], content: Content, package: str) -> None:
    """Run a program that makes a package. Raises `FukiError`; `package` is the Debian package that has the program."""
    if shutil.which(command[0]) is None:
        raise FukiError(f"this machine has no {command[0]}", hint=f"install the package {package}")
    done = programs.run(
        command,
        environment=programs.environment(
            HOME=str(content.root.parent), TMPDIR=str(content.root.parent), SOURCE_DATE_EPOCH=str(content.time)
        ),
        directory=content.root.parent,
        timeout=_TIMEOUT,
    )
    if done.code:
        raise FukiError(f"{command[0]} {done.how}: {done.last_lines(3)}")
