"""Inputs are never overwritten: a record of the files that a command reads, checked before any is replaced."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from fuki_build.errors import RecipeError

FileId = tuple[int, int]
"""Device and inode, which are the same for all names of a file: hard links, and paths through links and mounts."""


class ReadFiles:
    """The files that were read while this record was active, each with one of the names that it was read under."""

    def __init__(self) -> None:
        self._names: dict[FileId, Path] = {}
        self._later: list[Callable[[], Iterable[Path]]] = []

    def add(self, path: Path, status: os.stat_result) -> None:
        self._names.setdefault(_id_of(status), path)

    def add_later(self, paths: Callable[[], Iterable[Path]]) -> None:
        """Add files that are looked for only when something is written."""
        self._later.append(paths)

    def discard(self, file: FileId) -> None:
        self._names.pop(file, None)

    def name_of(self, file: FileId) -> Path | None:
        """The name under which a file was read; None for one that was not."""
        for paths in self._later:
            for path in paths():
                with suppress(OSError):
                    self.add(path, path.stat())
        self._later.clear()
        return self._names.get(file)


_active: ContextVar[tuple[ReadFiles, ...]] = ContextVar("fuki_read_files", default=())


@contextmanager
def guarding(record: ReadFiles | None = None) -> Iterator[ReadFiles]:
    """Record the files read while the `with` lasts, and keep `OutputFile` from replacing any of them.

    `record` continues one that was begun elsewhere, for instance in another thread.
    """
    record = record or ReadFiles()
    before = _active.get()
    _active.set((*before, record))
    try:
        yield record
    finally:
        _active.set(before)


def note_read(path: Path, status: os.stat_result | None = None) -> None:
    """Record a file that was read, or that a program is going to read; a missing file is ignored."""
    for record in _active.get():
        with suppress(OSError):
            record.add(path, status or path.stat())


def note_read_later(paths: Callable[[], Iterable[Path]]) -> None:
    """Record files that take time to find; `paths` is called only when something is written."""
    for record in _active.get():
        record.add_later(paths)


def note_named(value: object, directory: Path) -> None:
    """Record the files that options name, such as keys that only an external program reads.

    Any text counts that is the path of a file, alone or after `=` or `:`; paths are relative to `directory`.
    """
    if not _active.get():
        return
    for text in _texts(value):
        for name in {text, text.partition("=")[2], text.partition(":")[2]} - {""}:
            with suppress(OSError, ValueError):
                path = directory / name
                if path.is_file():
                    note_read(path)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _texts(list(value.values()))
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from _texts(item)
    elif hasattr(value, "__struct_fields__"):
        for field in value.__struct_fields__:
            yield from _texts(getattr(value, field))


def refuse_overwriting(path: Path, edited: FileId | None = None) -> None:
    """Raise `RecipeError` if the file at `path` was read, unless it is the one that is to be edited in place."""
    file = file_id(path)
    if file is None or file == edited:
        return

    for record in _active.get():
        name = record.name_of(file)
        if name is not None:
            same = "" if name == path else f", under the name {path}"
            hint = "write to another path; what was read is not replaced"
            raise RecipeError(f"the output would replace the input {name}{same}", hint=hint)


def forget_written(file: FileId) -> None:
    """Remove a file that was just written from the records: reading back one's own output makes it no input."""
    for record in _active.get():
        record.discard(file)


def file_id(path: Path) -> FileId | None:
    """The identity of the file at a path; None if there is none, or it cannot be examined."""
    try:
        return _id_of(path.stat())
    except (OSError, ValueError):
        return None


def _id_of(status: os.stat_result) -> FileId:
    return status.st_dev, status.st_ino
