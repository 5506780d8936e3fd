"""Several files that appear together, or not at all."""

import os
import stat
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from fuki_build.errors import FukiError, RecipeError
from fuki_build.image.blob import AnyPath
from fuki_build.image.guard import FileId, file_id
from fuki_build.image.output_file import OutputFile

PathId = tuple[FileId | None, tuple[str, ...]]


class DistinctPaths:
    """The paths of the outputs of one command."""

    def __init__(self) -> None:
        self._paths: set[PathId] = set()

    def add(self, path: Path) -> None:
        """Raise `RecipeError` for a path that another output has, however it is spelled."""
        key = path_id(path)
        if key in self._paths:
            raise RecipeError(f"two outputs write {path}", hint="give each a path of its own")
        self._paths.add(key)


class OutputFiles:
    """New files in progress; `commit()` gives all of them their names, leaving the `with` without that leaves nothing.

    A failure while names are given is undone, so that existing files are restored. Only a process that is killed
    between two of the renames, which follow each other immediately, leaves some files new and others old, and beside
    them files named `.NAME.*.tmp` (new content that has no name yet) and `.NAME.*.old` (the replaced file).
    """

    def __init__(
        self, edits: Path | None = None, taken: DistinctPaths | None = None, *, keep_same: bool = False
    ) -> None:
        """`edits` is a file that was read, and that the user asked to change in its place.

        `taken` are paths that others write, and is added to: several of these may be in progress together.
        With `keep_same`, a file that would be replaced by one of the same content stays, with its times.
        """
        self._edits = edits
        self._keep_same = keep_same
        self._stack = ExitStack()
        self._files: list[OutputFile] = []
        self._paths = taken or DistinctPaths()

    def __enter__(self) -> Self:
        return self

    def open(self, named: AnyPath, mode: int = 0o666) -> OutputFile:
        """A file to write to. Raises `RecipeError` for a path that another output has, or that was read.

        One that is changed in its place keeps its permissions.
        """
        path = Path(named)
        self._paths.add(path)
        file = self._stack.enter_context(OutputFile(path, mode, edits=self._edits))
        self._files.append(file)
        if self._edits is not None and file_id(path) == file_id(self._edits):
            os.fchmod(file.descriptor, stat.S_IMODE(path.stat().st_mode))
        return file

    def commit(self) -> None:
        """Make all contents durable, then give the files their names. Raises `FukiError`."""
        files = [file for file in self._files if not (self._keep_same and file.is_same())]
        if len(files) == 1:
            # A single file is atomic by itself, and usually needs no temporary name.
            files[0].commit()
            return

        # Steps that may fail or take time come first, so that the renames follow each other immediately.
        for file in files:
            file.sync()
        for file in files:
            file.refuse_input()
        for file in files:
            file.stage()

        try:
            for file in files:
                file.save_old()
            for file in files:
                file.replace_old()
        except BaseException:
            _undo(files)
            raise

        for file in files:
            file.finish()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def _undo(files: list[OutputFile]) -> None:
    """Restore the old files' names; one failure does not keep the others from being restored."""
    failures = []
    for file in reversed(files):
        try:
            file.restore_old()
        except FukiError as error:
            failures.append(error)
    if failures:
        raise failures[0]


def path_id(path: Path) -> PathId:
    """An identity that is the same for all spellings of a path, whether or not a file exists."""
    resolved = path.resolve()
    for directory in resolved.parents:
        identity = file_id(directory)
        if identity is not None:
            return identity, resolved.relative_to(directory).parts
    return None, resolved.parts
