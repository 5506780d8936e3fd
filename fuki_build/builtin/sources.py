"""Firmware sources: a file, a directory that holds one, a program that makes one, a Debian package."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from fuki_build import note_read, programs
from fuki_build.builtin import apt
from fuki_build.errors import RecipeError, did_you_mean, raised_as
from fuki_build.hooks import FirmwareFile, FirmwareSource, Options, SourceContext, hookimpl

_MAX_IMAGE = 256 * 1024 * 1024
"""Bytes that a program may print; edk2's images have 4 to 16 MiB."""
_MAX_FILE = 4 * 1024 * 1024 * 1024
"""Bytes of each file that it may write, of those on the way to an image too."""

Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="SHA-256 in hex")]


class PathOptions(Options, frozen=True):
    path: Annotated[str, Meta(min_length=1, description="relative to the recipe")]


class FileSource(FirmwareSource):
    """A firmware file; the recipe gives the id.

    >>> FileSource.Options(path="firmware/OVMF.fd").path
    'firmware/OVMF.fd'
    """

    name = "file"
    Options = PathOptions

    def fetch(self, options: PathOptions, context: SourceContext) -> FirmwareFile:
        return FirmwareFile(context.directory / options.path)


class DirectorySource(FirmwareSource):
    """A directory that holds exactly one file; its name is the id (ukify's rule).

    >>> DirectorySource.Options(path="firmware/ovmf-aws").path
    'firmware/ovmf-aws'
    """

    name = "directory"
    Options = PathOptions

    def fetch(self, options: PathOptions, context: SourceContext) -> FirmwareFile:
        path = context.directory / options.path
        try:
            entries = sorted(path.iterdir())
        except OSError as error:
            raise RecipeError(f"cannot list {path}: {error.strerror}") from error

        if len(entries) != 1 or not entries[0].is_file():
            names = ", ".join(entry.name + "/" * entry.is_dir() for entry in entries[:5]) or "nothing"
            raise RecipeError(f"{path} must hold exactly one file, there is: {names}", hint="move the others away")

        # A path like "." has no name of its own.
        return FirmwareFile(entries[0], id=path.resolve().name, inputs=(path,))


class CommandSourceOptions(Options, frozen=True):
    command: Annotated[
        tuple[str, ...],
        Meta(min_length=1, description="program and arguments; {output} stands for the file to write"),
    ]
    sha256: Annotated[Sha256 | None, Meta(description="what the image must have")] = None
    inputs: Annotated[tuple[str, ...], Meta(description="files that the program reads, for depfiles")] = ()
    timeout: Annotated[float, Meta(gt=0, description="seconds that it may take")] = 3600.0


class CommandSource(FirmwareSource):
    """A program that prints the image, or writes it where its argument `{output}` says.

    It runs in the recipe's directory, with PATH, HOME, SOURCE_DATE_EPOCH and a fixed locale and nothing else. What it
    starts in the background ends with it.

    >>> CommandSource.Options(command=("make-firmware", "{output}")).sha256 is None
    True
    """

    name = "command"
    Options = CommandSourceOptions

    def fetch(self, options: CommandSourceOptions, context: SourceContext) -> FirmwareFile:
        context.check_command(options.command[0])
        output = _fresh_file(context.workspace)
        arguments = [word.replace("{output}", str(output)) for word in options.command]
        self._run(arguments, options, output, context)

        if not output.is_file():
            raise RecipeError(f"{options.command[0]} left no image")
        if output.stat().st_size > _MAX_IMAGE:
            raise RecipeError(f"{options.command[0]} made an image of more than {_MAX_IMAGE} bytes")

        digest = apt.sha256_of(output)
        if options.sha256 not in (None, digest):
            raise RecipeError(
                f"{options.command[0]} made an image with SHA-256 {digest}, the recipe says {options.sha256}",
                hint="if the new image is right, put its digest into the recipe",
            )

        inputs = tuple(context.directory / path for path in options.inputs)
        return FirmwareFile(output, inputs=inputs, origin={"command": options.command[0], "sha256": digest})

    def _run(self, arguments: list[str], options: CommandSourceOptions, output: Path, context: SourceContext) -> None:
        # A command that is not told where to write prints the image.
        prints = not any("{output}" in word for word in options.command)
        with output.open("wb") as file, raised_as(RecipeError, of=programs.ProgramError):
            done = programs.run(
                arguments,
                environment=programs.environment("SOURCE_DATE_EPOCH"),
                directory=context.directory,
                stdout=file if prints else None,
                timeout=options.timeout,
                largest_output=_MAX_IMAGE,
                largest_file=_MAX_FILE,
            )

        if done.code:
            raise RecipeError(f"{options.command[0]} {done.how}", hint=done.last_lines() or None)


Version = Annotated[str, Meta(pattern=apt.VERSION)]
Suite = Annotated[str, Meta(pattern=apt.SUITE)]


class DebOptions(Options, frozen=True, kw_only=True):
    package: Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9+.-]+$", description="name of the package")]
    path: Annotated[str, Meta(min_length=1, description="of the firmware inside the package")]
    version: Annotated[Version | None, Meta(description="of the package; by default apt's candidate")] = None
    sha256: Annotated[Sha256 | None, Meta(description="of the .deb file")] = None
    suite: Annotated[Suite | None, Meta(description="of the archive that this machine's apt uses, such as 'sid'")] = (
        None
    )


class DebSource(FirmwareSource):
    """A file out of a Debian package, downloaded through this machine's apt and unpacked, not installed.

    Packages are kept below XDG_CACHE_HOME; one that the recipe pins by version and digest needs no network again.

    >>> DebSource.Options(package="ovmf", path="usr/share/ovmf/OVMF.fd").suite is None
    True
    """

    name = "deb"
    Options = DebOptions

    def fetch(self, options: DebOptions, context: SourceContext) -> FirmwareFile:
        deb = apt.download(options.package, options.version, suite=options.suite, sha256=options.sha256)
        note_read(deb)

        into = _fresh_file(context.workspace).with_suffix(".d")
        apt.unpack(deb, into)

        path = into / options.path.lstrip("/")
        if not path.resolve().is_relative_to(into.resolve()) or not path.is_file():
            raise RecipeError(f"{deb.name} has no file {options.path}", hint=_similar(into, options.path))

        fields = apt.fields(deb)
        sha256 = apt.sha256_of(deb)
        return FirmwareFile(
            path,
            id=options.package,
            origin={
                "package": options.package,
                "version": fields["Version"],
                "sha256": sha256,
            },
        )


def _similar(directory: Path, path: str) -> str:
    suffix = Path(path).suffix
    candidates = sorted(str(p.relative_to(directory)) for p in directory.rglob(f"*{suffix}") if p.is_file())
    return did_you_mean(path, candidates) or f"there are: {', '.join(candidates[:8]) or 'no files of that kind'}"


def _fresh_file(workspace: Path) -> Path:
    """A name in the workspace that is not taken yet; numbers keep names the same from run to run."""
    number = sum(1 for _ in workspace.iterdir())
    return workspace / f"firmware-{number}"


@hookimpl
def fuki_firmware_sources() -> Sequence[type[FirmwareSource]]:
    return [FileSource, DirectorySource, CommandSource, DebSource]
