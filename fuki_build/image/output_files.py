"""Several files that appear together, or not at all."""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from fuki_build.errors import FukiError, RecipeError
from fuki_build.image.guard import FileId, file_id
from fuki_build.image.output_file import OutputFile

PathId = tuple[FileId | None, tuple[str, ...]]


class OutputFiles:
    """New files in the making; `commit()` gives all of them their names, leaving the `with` without it leaves nothing.

    Whatever goes wrong while names are given is undone, so that files which were there are there again. Only a process
    that is killed between two of the renames, which follow each other at once, leaves some files new and others old,
    and beside them files named `.NAME.*.tmp` (new content without its name yet) and `.NAME.*.old` (what was there).
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._files: dict[PathId, OutputFile] = {}

    def __enter__(self) -> Self:
        return self

    def open(self, path: Path, mode: int = 0o666) -> OutputFile:
        """A file to write to. Raises `RecipeError` for a path that another output has, or that was read."""
        key = _path_id(path)
        if key in self._files:
            raise RecipeError(f"two outputs write {path}", hint="give each a path of its own")
        file = self._stack.enter_context(OutputFile(path, mode))
        self._files[key] = file
        return file

    def commit(self) -> None:
        """Make all contents durable, then give the files their names. Raises `FukiError`."""
        files = list(self._files.values())
        if len(files) == 1:
            # A single one appears or not by itself, and most often without a temporary name.
            files[0].commit()
            return

        # What can fail and takes time comes first, so that names change back to back.
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
    """Give all old files their names back; those that can get them do, even if one cannot."""
    failures = []
    for file in reversed(files):
        try:
            file.restore_old()
        except FukiError as error:
            failures.append(error)
    if failures:
        raise failures[0]


def _path_id(path: Path) -> PathId:
    """The same for all spellings of a path, whether there is a file or not."""
    resolved = path.resolve()
    for directory in resolved.parents:
        identity = file_id(directory)
        if identity is not None:
            return identity, resolved.relative_to(directory).parts
    return None, resolved.parts
