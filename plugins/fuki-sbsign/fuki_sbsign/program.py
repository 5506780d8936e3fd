"""Shared by all signing programs: finding the program, and replacing the image by its signed copy."""

import os
import shutil
from abc import abstractmethod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, ClassVar

from fuki_build.errors import SigningError
from fuki_build.hooks import FileSigner, KeyPreview, Options, SigningContext
from msgspec import Meta

from fuki_sbsign.call import Call, prepare

_LARGEST_SIGNATURES = 64 * 1024 * 1024
"""Bytes that a program may add to an image, or write to a certificate database or log beside it."""


class ProgramOptions(Options, frozen=True, kw_only=True):
    program: Annotated[str | None, Meta(description="the program's path; by default, that of its name in PATH")] = None
    timeout: Annotated[float, Meta(gt=0, description="seconds that it may take for an image")] = 600.0


class ProgramSigner(FileSigner):
    """Runs a program that writes a signed copy, which then takes the image's place."""

    packages: ClassVar[str]
    """Packages to install, by distribution."""
    directories: ClassVar[tuple[str, ...]] = ()
    """Directories in which the program may be if it is not in PATH."""

    @abstractmethod
    def prepare(self, call: Call, image: Path, output: Path, options: Any, context: SigningContext) -> None:  # noqa: ANN401
        """Fill in everything that the program needs to write a signed copy of `image` to `output`."""

    def preview(self, options: ProgramOptions, context: SigningContext) -> KeyPreview:
        self._check_named(options, context)
        self._find(options.program, context.directory)
        return self.preview_key(options, context)

    def preview_key(self, options: Any, context: SigningContext) -> KeyPreview:  # noqa: ANN401, ARG002
        """What of `prepare` can be done without a secret; by default nothing is known of the key."""
        return KeyPreview()

    def sign_file(self, path: Path, options: ProgramOptions, context: SigningContext) -> None:
        self._check_named(options, context)
        program = self._find(options.program, context.directory)
        image = path.absolute()

        # The copy is written beside the image, so that it can replace it in one rename.
        try:
            with (
                TemporaryDirectory(prefix=".fuki-", dir=image.parent) as beside,
                prepare(context.workspace) as call,
            ):
                output = Path(beside) / image.name
                self.prepare(call, image, output, options, context)

                largest = image.stat().st_size + _LARGEST_SIGNATURES
                call.run(program, context, timeout=options.timeout, largest_file=largest)

                if not output.is_file():
                    raise SigningError(f"{self.name} has written nothing, and says that all went well")
                output.replace(image)
        except OSError as error:
            raise SigningError(f"cannot sign {path}: {error.strerror}") from error

    def _check_named(self, options: ProgramOptions, context: SigningContext) -> None:
        """Refuse what of a recipe would run: a program, a library, and a database that names libraries."""
        for key in ("program", "module", "engine", "directory"):
            value = getattr(options, key, None)
            if value is not None:
                context.check_command(value, key)

    def _find(self, named: str | None, directory: Path) -> str:
        """The program's absolute path: the named one, or one found in PATH or the usual directories."""
        if named is not None:
            path = located(named, directory)
            program = shutil.which(path)
            if program is None:
                raise SigningError(f"there is no program {path}", where="program")
            return program

        places = os.pathsep.join([os.environ.get("PATH", os.defpath), *self.directories])
        program = shutil.which(self.name, path=places)
        if program is None:
            hint = f"install it ({self.packages}), or name its path with 'program'"
            raise SigningError(f"the program {self.name} is not installed", hint=hint)

        return program


def located(text: str, directory: Path) -> str:
    """A path, relative to the recipe's directory; text without a slash is a name for others to look up."""
    return str((directory / text).absolute()) if "/" in text else text
