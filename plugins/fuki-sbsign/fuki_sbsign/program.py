"""What all signing programs have in common: where they are, and what becomes of the image."""

import os
import shutil
from abc import abstractmethod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, ClassVar

from fuki_build.errors import SigningError
from fuki_build.hooks import FileSigner, SigningContext
from msgspec import Meta, Struct

from fuki_sbsign.call import Call, prepare

_LARGEST_SIGNATURES = 64 * 1024 * 1024
"""Bytes that a program may add to an image; it keeps a certificate database beside it, or a log."""


class ProgramOptions(Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    program: Annotated[str | None, Meta(description="the program's path; by default, that of its name in PATH")] = None
    timeout: Annotated[float, Meta(gt=0, description="seconds that it may take for an image")] = 600.0


class ProgramSigner(FileSigner):
    """Runs a program that writes a signed copy, which then takes the image's place."""

    packages: ClassVar[str]
    """What to install, by distribution."""
    directories: ClassVar[tuple[str, ...]] = ()
    """Where the program is when it is not in PATH."""

    @abstractmethod
    def prepare(self, call: Call, image: Path, output: Path, options: Any, context: SigningContext) -> None:  # noqa: ANN401
        """Fill in what the program needs in order to write a signed copy of `image` to `output`."""

    def sign_file(self, path: Path, options: ProgramOptions, context: SigningContext) -> None:
        program = self._find(options.program, context.directory)
        image = path.absolute()
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

    def _find(self, named: str | None, directory: Path) -> str:
        """The program's absolute path, or a name to search for in PATH and then in the usual directories."""
        if named is not None:
            wanted = located(named, directory)
            found = shutil.which(wanted)
            if found is None:
                raise SigningError(f"there is no program {wanted}", where="program")
            return found
        places = os.pathsep.join([os.environ.get("PATH", os.defpath), *self.directories])
        found = shutil.which(self.name, path=places)
        if found is None:
            hint = f"install it ({self.packages}), or name its path with 'program'"
            raise SigningError(f"the program {self.name} is not installed", hint=hint)
        return found


def located(text: str, directory: Path) -> str:
    """A path, relative to the recipe's directory; what has no slash is a name that others look up."""
    return str((directory / text).absolute()) if "/" in text else text
