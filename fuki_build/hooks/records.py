"""The records and protocols that plugins use."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from msgspec import Struct

from fuki_build.hardware.machine import Machine
from fuki_build.hooks.launch import LaunchRecord, LaunchSite
from fuki_build.hooks.options import NoOptions, Options
from fuki_build.hooks.signers import KeyPreview, SigningKey
from fuki_build.image.assemble import Assembly
from fuki_build.image.blob import Blob
from fuki_build.image.digest_plan import ALL_DIGESTS, DigestNeeds
from fuki_build.image.firmware import Slice, slices
from fuki_build.image.layout import Layout
from fuki_build.image.selection import Selector
from fuki_build.image.stub import MODELS
from fuki_build.recipe_commands import check_command


class SourceContext(Struct, frozen=True):
    """What a firmware source may use: paths are relative to `directory`, the recipe's.

    `workspace` is a scratch directory that lives until the command ends. `commands` tells whether the recipe may have
    programs of its choice run.
    """

    directory: Path
    workspace: Path
    commands: bool = True

    def check_command(self, program: str) -> None:
        """Raise `RecipeError` if no program, and no library, that the recipe names may run; call it before."""
        check_command(program, None, allowed=self.commands)


class FirmwareFile(Struct, frozen=True):
    """A firmware image on disk.

    `id` is the fwid that the source suggests, `inputs` every file that decided what it is (for depfiles), `origin`
    facts for the manifest, such as a package's version.
    """

    path: Path
    id: str | None = None
    inputs: tuple[Path, ...] = ()
    origin: Mapping[str, str] = {}


class FirmwareSource(ABC):
    """Turns the options of a `[[fuki.firmware]]` table into a firmware image.

    >>> class VendorOptions(Options, frozen=True):
    ...     board: str
    >>> class Vendor(FirmwareSource):
    ...     name = "vendor"
    ...     Options = VendorOptions
    ...     def fetch(self, options, context):
    ...         return FirmwareFile(context.directory / f"{options.board}.fd", id=options.board)
    >>> options = Vendor.Options(board="q35")
    >>> Vendor().fetch(options, SourceContext(Path("/recipe"), Path("/tmp"))).path.name
    'q35.fd'
    """

    name: ClassVar[str]
    Options: ClassVar[type[Options]] = NoOptions

    @abstractmethod
    def fetch(self, options: Any, context: SourceContext) -> FirmwareFile:  # noqa: ANN401 - an instance of Options
        """Find or make the image; raises `FukiError` when there is none."""


class Platform(ABC):
    """A cloud or hypervisor: its machines, and the CHID types that tell them from others.

    >>> class Acme(Platform):
    ...     name = "acme"
    ...     title = "Acme Cloud"
    ...     chid_types = (9,)
    ...     def machines(self, selector=None):
    ...         return [Machine(name="acme", manufacturer="Acme", product="VM")]
    >>> [machine.product for machine in Acme().machines()]
    ['VM']
    """

    name: ClassVar[str]
    title: ClassVar[str]
    chid_types: tuple[int, ...]
    """The CHID types, in systemd-stub's dialect, that can stand for its machines, the widest first."""

    @abstractmethod
    def machines(self, selector: str | None = None) -> Sequence[Machine]:
        """All machines, or those that `selector` (behind the colon of `acme:selector`) names.

        Raises `FukiError` for a selector that selects nothing.
        """

    def launch_sites(self, selector: str | None = None) -> Sequence[LaunchSite]:  # noqa: ARG002
        """How it launches confidential guests on those machines; by default nothing is known of that."""
        return ()


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Finding(Struct, frozen=True, kw_only=True):
    """What a rule found: `where` is a section or a place in the recipe."""

    rule: str
    severity: Severity
    message: str
    where: str | None = None
    hint: str | None = None


class Problem(Struct, frozen=True):
    """What is wrong: `where` is a section or a place in the recipe, `hint` what to do."""

    message: str
    where: str | None = None
    hint: str | None = None


Problems = Iterator[Problem]


class Expectation(Struct, frozen=True, kw_only=True):
    """What a machine is to select: a firmware by its fwid, or none.

    `profile` is the number of the slice that says so (None: the base, and so every profile without a word of its own);
    `explicit` tells `[[fuki.expect]]` from what follows from `[[fuki.firmware]]`.
    """

    machine: Machine
    fwid: str | None
    profile: int | None
    where: str
    explicit: bool = False


class CheckSubject(Struct, frozen=True, dict=True):
    """What rules look at: a layout, planned or read, all machines of the loaded platforms, and what is expected.

    `image` is the image that an addon is for, where it is known.
    """

    layout: Layout
    machines: Sequence[Machine] = ()
    expectations: Sequence[Expectation] = ()
    image: Layout | None = None

    @cached_property
    def slices(self) -> tuple[Slice, ...]:
        """The base and each profile with their firmware and hardware id tables decoded."""
        return slices(self.layout.plain_sections)

    @cached_property
    def selector(self) -> Selector:
        """What machines select from the tables, whatever the image's own stub does: the newest model selects all."""
        return Selector(self.slices, MODELS[-1])


class Rule(Struct, frozen=True, kw_only=True):
    """A check: `check` yields a `Problem` for each thing that is wrong.

    >>> def no_splash(subject):
    ...     if not subject.layout.find(".splash"):
    ...         yield Problem("there is no .splash")
    >>> rule = Rule(
    ...     id="no-splash",
    ...     severity=Severity.NOTE,
    ...     summary="An image has a splash screen",
    ...     explanation="It is pretty.",
    ...     check=no_splash,
    ... )
    >>> rule.id
    'no-splash'
    """

    id: str
    severity: Severity
    summary: str
    explanation: str
    check: Callable[[CheckSubject], Iterable[Problem]]

    def findings(self, subject: CheckSubject) -> list[Finding]:
        return [
            Finding(rule=self.id, severity=self.severity, message=p.message, where=p.where, hint=p.hint)
            for p in self.check(subject)
        ]


class BuiltImage(Struct, frozen=True):
    """An image that was assembled: `path` is where it can be read now (None if nothing asked for the file).

    `assembly` has the digests that were asked for, see `OutputFormat.digests`; any other raises `LookupError`.
    `layout` has the certificate table, if it was signed.
    """

    layout: Layout
    assembly: Assembly
    path: Path | None


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


class Build(Struct, frozen=True, kw_only=True):
    """Everything an output format may tell about: the images, what they were made from, and by what."""

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
