"""Output formats: what a plugin implements, and what a build and its preview pass to it."""

from abc import ABC
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from msgspec import Struct

from fuki_build.hardware.machine import Machine
from fuki_build.hooks.launch import LaunchRecord
from fuki_build.hooks.options import NoOptions, Options
from fuki_build.hooks.rules import Finding, sections_named
from fuki_build.hooks.signers import KeyPreview, SigningKey
from fuki_build.image.assembly import Assembly
from fuki_build.image.blob import Blob
from fuki_build.image.digest_plan import ALL_DIGESTS, DigestNeeds
from fuki_build.image.layout import Layout
from fuki_build.image.profiles import Profile, profiles
from fuki_build.image.section import Section
from fuki_build.measure.boot import Boot
from fuki_build.measure.section_digests import SectionDigests
from fuki_build.recipe_commands import check_command


class BuiltImage(Struct, frozen=True):
    """An image that was assembled: `path` is where it can be read now (None if nothing asked for the file).

    `assembly` has the digests that were asked for, see `OutputFormat.digests`; any other raises `LookupError`.
    `layout` has the certificate table, if it was signed.
    """

    layout: Layout
    assembly: Assembly
    path: Path | None

    def sections(self, *names: str) -> list[Section]:
        """The sections of these names, or all, in the file's order: the base's and each profile's own."""
        return sections_named(self.layout, names)

    @property
    def profiles(self) -> tuple[Profile, ...]:
        """The image's profiles with their ids and titles; empty for an image without any."""
        return profiles(self.layout)

    def section_digest(self, section: Section, algorithm: str = "sha256") -> str:
        """The digest of a section's content, in hex. Raises `LookupError` where nobody asked for it."""
        return self.assembly.section_hash(section.index, algorithm).hexdigest()

    def image_digest(self, algorithm: str = "sha256") -> str:
        """The Authenticode digest of the file, in hex. Raises `LookupError` where nobody asked for it."""
        return self.assembly.image_hash(algorithm).hexdigest()


class InputFile(Struct, frozen=True):
    """A file that the build read; `where` is the recipe key that named it, `name` what the recipe calls it.

    `digest` is the SHA-256 in hex, None where no output declares that it needs those of inputs.
    """

    name: str
    where: str
    digest: str | None

    @property
    def sha256(self) -> str:
        """The digest. Raises `LookupError` where nobody asked for it."""
        if self.digest is None:
            raise LookupError("nobody asked for the digests 'inputs'")
        return self.digest


def _as_it_is(boot: Boot, _: SectionDigests) -> Boot:
    return boot


class Build(Struct, frozen=True, kw_only=True):
    """Everything an output format may tell about: the images, what they were made from, and by what.

    It may be of a finished image, too, that nobody knows the inputs of. Paths in options are relative to `directory`.
    """

    name: str
    version: str
    variables: Mapping[str, Any]
    uki: BuiltImage
    addons: tuple[BuiltImage, ...]
    inputs: tuple[InputFile, ...]
    tools: Mapping[str, str]
    findings: tuple[Finding, ...]
    firmware_origins: Mapping[str, Mapping[str, str]]
    machines: tuple[Machine, ...] = ()
    """Those that the recipe says something of, and all of the loaded platforms."""
    launches: tuple[LaunchRecord, ...] = ()
    """What the recipe's `[[fuki.launch]]` tables ask for."""
    directory: Path = Path()
    authorized: Callable[[Boot, SectionDigests], Boot] = _as_it_is
    """A boot with what in db vouches for the image that is measured, and for all that starts beside it."""


class Artifact(Struct, frozen=True):
    """A file that an output format wrote, under its final name."""

    path: Path
    format: str


class OutputContext(Struct, frozen=True, kw_only=True):
    """Where an output goes: `path`, under the recipe's `directory` unless the command line says otherwise.

    `write(path, data)` makes a file, from bytes or a blob, that appears when the whole build has succeeded;
    `render(template, variables)` renders a template, given by its file (relative to the recipe) or its name.
    `key(table, option)` opens the key that an option names as `{ backend = "…", … }`; errors name that option.
    `commands` tells whether the recipe may have programs of its choice run.
    """

    path: Path
    directory: Path
    write: Callable[[Path, bytes | Blob], None]
    render: Callable[[str, Mapping[str, Any]], str]
    key: Callable[[Mapping[str, Any], str], SigningKey]
    commands: bool = True

    def check_command(self, program: str, where: str) -> None:
        """Raise `RecipeError` if no program, and no library, that the recipe names may run; call it before."""
        check_command(program, where, allowed=self.commands)


class PlannedFile(Struct, frozen=True):
    """A file that an output is going to write: `size` in bytes, None where it is known only when it is written.

    `many` stands for a directory, and files in it that are known only then.
    """

    path: Path
    size: int | None = None
    many: bool = False


class PreviewContext(Struct, frozen=True, kw_only=True):
    """What a dry run has for an output: `path` and `directory` as `OutputContext` has them, and the image as planned.

    `launches` tells whether there will be any. `find_template(template)` raises `RecipeError` for one that is not there
    or does not parse; `key(table, option)` tells of a key what is known without opening it.
    """

    path: Path
    directory: Path
    uki: Layout
    launches: bool
    find_template: Callable[[str], None]
    key: Callable[[Mapping[str, Any], str], KeyPreview]


class OutputFormat(ABC):
    """Writes one kind of file: images, through `images`, or something that tells about them, through `emit`.

    >>> class Digest(OutputFormat):
    ...     name = "digest"
    ...     suffix = ".sha256"
    ...     def digests(self, options):
    ...         return DigestNeeds(image=frozenset({"sha256"}))
    ...     def emit(self, options, build, context):
    ...         context.write(context.path, build.uki.assembly.authenticode.encode())
    >>> Digest.needs_image_file
    False
    """

    name: ClassVar[str]
    suffix: ClassVar[str] = ""
    """Behind `<name>_<version>` when the recipe gives no path."""
    Options: ClassVar[type[Options]] = NoOptions
    needs_image_file: ClassVar[bool] = False
    """Whether `build.uki.path` must be readable even if no output writes the image."""

    def images(self, path: Path, uki: Layout, addons: Sequence[Layout]) -> Mapping[Path, Layout]:  # noqa: ARG002
        """The images to write, and where; by default none."""
        return {}

    def digests(self, options: Any) -> DigestNeeds:  # noqa: ANN401, ARG002
        """The digests that `emit` reads, of all images and of the files that they are made from.

        By default everything in SHA-256. A format that declares less lets builds be faster: what no output, signer or
        launch declares is not computed, and raises `LookupError` where it is asked for.
        """
        return ALL_DIGESTS

    def banks(self, options: Any) -> Sequence[str]:  # noqa: ANN401, ARG002
        """The algorithms, by hashlib's names, in which it wants everything that the image measures; by default none.

        All of them are fed from the one read of the input.
        """
        return ()

    def needs_signatures(self, options: Any) -> bool:  # noqa: ANN401, ARG002
        """Whether `emit` reads the signatures of images, which are made then even if no output writes the images."""
        return False

    def files(self, options: Any) -> Sequence[str]:  # noqa: ANN401, ARG002
        """The files, relative to the recipe's directory, that `emit` reads, for who must know what a build reads."""
        return ()

    def templates(self, options: Any) -> Sequence[str]:  # noqa: ANN401, ARG002
        """The names of the templates that `emit` renders, for who must know beforehand what a build reads."""
        return ()

    def preview(self, options: Any, context: PreviewContext) -> Sequence[PlannedFile]:  # noqa: ANN401, ARG002
        """The files that `emit` will write, beside `images`; by default that at `context.path`, if there is an `emit`.

        Raises `FukiError` for all that `emit` would refuse and that is known by now: a build begins with it, too.
        """
        return [] if type(self).emit is OutputFormat.emit else [PlannedFile(context.path)]

    def emit(self, options: Any, build: Build, context: OutputContext) -> None:  # noqa: ANN401, B027 - optional
        """Write files through `context.write`, after the images. Raises `FukiError`. By default nothing."""
