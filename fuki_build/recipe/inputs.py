"""The input files of a recipe: found relative to it, and remembered for manifests and depfiles."""

import hashlib
from collections.abc import Hashable
from pathlib import Path

from msgspec import Struct

from fuki_build.errors import FukiError, RecipeError
from fuki_build.hooks.sources import FirmwareFile
from fuki_build.image.addresses import open_content, split_reference
from fuki_build.image.blob import Blob, FilePart
from fuki_build.recipe.load import LoadedRecipe
from fuki_build.recipe.model import InlineText, TextFile

_MAX_TEXT = 16 * 1024 * 1024


class Input(Struct, frozen=True, kw_only=True):
    """A file that the recipe leads to, or a section of an image, under the name that the recipe has for it.

    `sha256` is None for one that is only read when the image is assembled: then it is that of `part`.
    """

    path: Path
    where: str
    name: str
    sha256: str | None = None
    part: FilePart | None = None


class Inputs(Struct, kw_only=True):
    """Opens the recipe's files; errors name the place that asked for them."""

    recipe: LoadedRecipe
    workspace: Path
    commands: bool = True
    """Whether the recipe may have programs of its choice run."""
    files: list[Input] = []
    dependencies: list[Path] = []
    """What else decides the output: directories, and files that only tools read."""
    fetched: dict[Hashable, FirmwareFile] = {}
    """What firmware sources gave, by source and options."""

    def path(self, text: str, where: str) -> Path:
        if not text:
            raise RecipeError("the path is empty", where=where)
        return self.recipe.directory / text

    def note(
        self, path: Path, where: str, content: Blob | None = None, *, sha256: str | None = None, name: str | None = None
    ) -> None:
        """Remember an input; `content` gives its digest where `sha256` does not."""
        part = None
        if content is not None and sha256 is None:
            sha256 = content.sha256_in_memory
            part = next((part for part in content.parts if isinstance(part, FilePart)), None)
        reference = split_reference(path)
        file = path if reference is None else reference[0]
        self.files.append(Input(path=file, where=where, name=name or self.name(path), sha256=sha256, part=part))

    def name(self, path: Path) -> str:
        """Relative to the recipe where it lies below it: names must not depend on where the recipe lies."""
        try:
            return str(path.relative_to(self.recipe.directory))
        except ValueError:
            return str(path)

    def file(self, text: str, where: str) -> Blob:
        """A file, or a section of an image, to be copied into the image."""
        path = self.path(text, where)
        blob = self.blob(path, where)
        self.note(path, where, blob if blob.size else Blob())
        return blob

    def blob(self, path: Path, where: str) -> Blob:
        """A regular file that can be opened, or a section of an image (`IMAGE:.SECTION`); `RecipeError` otherwise."""
        try:
            return open_content(path)
        except FukiError as error:
            raise self._refuse(error, where, path) from error

    def read(self, path: Path, where: str) -> bytes:
        """A small file's content, or a small section's."""
        try:
            data = open_content(path).read_small(_MAX_TEXT, str(path))
        except FukiError as error:
            raise self._refuse(error, where, path) from error
        self.note(path, where, sha256=hashlib.sha256(data).hexdigest())
        return data

    def _refuse(self, error: FukiError, where: str, path: Path) -> RecipeError:
        directory = self.recipe.directory
        below = path.is_relative_to(directory) if directory.is_absolute() else not path.is_absolute()
        # What a caller gives is relative to the current directory, and absolute by now.
        own = (below or self.recipe.caller is None) and bool(self.recipe.files)
        hint = error.hint or ("paths are relative to the recipe" if own else None)
        return RecipeError(error.message, where=where, hint=hint)

    def file_or_text(self, value: str | InlineText, where: str) -> Blob:
        if isinstance(value, InlineText):
            return Blob.of_bytes(value.text.encode())
        return self.file(value, where)

    def text(self, value: str | TextFile, where: str) -> bytes:
        if isinstance(value, TextFile):
            return self.read(self.path(value.file, f"{where}.file"), f"{where}.file")
        return value.encode()
