"""Firmware sources: what finds or makes a firmware image, and what it may use for that."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from msgspec import Struct

from fuki_build.hooks.options import NoOptions, Options
from fuki_build.image.content_cache import LARGEST, ContentWriter, cached_file
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

    def cached(self, sha256: str, fetch: Callable[[ContentWriter], None], *, limit: int = LARGEST) -> Path:
        """The path of a file with this SHA-256 in hex, which `fetch(file)` writes with `file.write(data)`.

        It is kept in the user's cache directory, and hashed each time before it is used: `fetch` is called only where
        it is not there, or is damaged. So a plan downloads nothing that an earlier one has. The file is not to be
        changed. Raises `RecipeError` where what is fetched has another digest, and whatever `fetch` raises.
        """
        return cached_file(sha256, fetch, self.workspace, limit)


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
