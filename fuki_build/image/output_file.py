"""Files that appear complete under their name, or not at all."""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from fuki_build.errors import FukiError
from fuki_build.image.blob import AnyPath
from fuki_build.image.file_copy import FileCopier
from fuki_build.image.flusher import Flusher
from fuki_build.image.guard import FileId, file_id, forget_written, refuse_overwriting
from fuki_build.image.output_directory import make_directories, remove_directories

_PIECE = 1024 * 1024
_LARGE = 256 * 1024
"""Bytes in one piece from which on it pays to set room aside."""


class OutputFile:
    """A new file in progress; `commit()` gives it its name, leaving the `with` without that leaves nothing.

    Until then the file has no name where the file system supports that (O_TMPFILE), so that even a killed process
    leaves nothing behind. An existing file of that name stays unchanged until it is replaced as a whole; missing
    directories are created on commit. A file that was read is not replaced (`RecipeError`), unless it is `edits`, which
    the user asked to change in place. If `path` is a symbolic link, the link is replaced and its target left alone.
    """

    def __init__(self, path: AnyPath, mode: int = 0o666, *, edits: Path | None = None) -> None:
        self.path = Path(path)
        self.descriptor = -1
        self._mode = mode
        self._edited: FileId | None = None if edits is None else file_id(edits)
        self._temporary: Path | None = None
        self._saved: Path | None = None
        self._directories: list[Path] = []

    def __enter__(self) -> Self:
        refuse_replacing(self.path, self._edited)
        with self._errors():
            self.descriptor = self._open()
        self._flusher = Flusher(self.descriptor)
        # File systems without nameless files may be another machine's.
        self._copier = FileCopier(self.descriptor, is_local=self._temporary is None)
        return self

    def _open(self) -> int:
        directory = _nearest_directory(self.path)
        try:
            return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, self._mode)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT):
                raise

        # Without O_TMPFILE the file has a hidden name until it is committed.
        self._temporary = _unused_name(directory, self.path)
        return os.open(self._temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, self._mode)

    def expect(self, size: int) -> None:
        """Tell how large it is going to be: room for that is set aside before large content is copied."""
        self._copier.expect(size)

    def write(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        with self._errors():
            if len(view) >= _LARGE:
                self._copier.set_room_aside()
            while view:
                count = os.write(self.descriptor, view)
                self._flusher.wrote(count)
                view = view[count:]

    def copy(self, source: int, offset: int, count: int) -> int:
        """Append up to `count` bytes of an open file that nobody looks at; how many, 0 where these have to be read."""
        with self._errors():
            copied = self._copier.copy(source, offset, count)
        self._flusher.wrote(copied)
        return copied

    def patch(self, offset: int, data: bytes) -> None:
        """Overwrite data that was written before."""
        with self._errors():
            os.pwrite(self.descriptor, data, offset)

    def lend(self, use: Callable[[Path], object]) -> None:
        """Let `use` work on the unfinished file under a name; it may replace the file by another one."""
        with self._errors():
            if self._temporary is None:
                temporary = _unused_name(_nearest_directory(self.path), self.path)
                self._link(temporary)
                self._temporary = temporary

            mode = os.fstat(self.descriptor).st_mode
            use(self._temporary)

            # `use` may have replaced the file, so that the old descriptor is another file's.
            descriptor = os.open(self._temporary, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            self._flusher.wait()
            os.close(self.descriptor)
            self.descriptor = descriptor
            self._flusher = Flusher(descriptor)
            self._copier = FileCopier(descriptor, is_local=False)
            os.fchmod(descriptor, stat.S_IMODE(mode))

    @property
    def readable_path(self) -> Path:
        """A path under which the unfinished file can be read by this process."""
        return self._temporary or Path(f"/proc/self/fd/{self.descriptor}")

    def is_same(self) -> bool:
        """Whether the file that has the name has this content already; one that is read for that is no input."""
        with suppress(OSError):
            if not stat.S_ISREG(self.path.lstat().st_mode):
                return False
            self._flusher.wait()
            with self.path.open("rb", buffering=0) as other:
                return _same_content(self.descriptor, other.fileno())
        return False

    def sync(self) -> None:
        """Make the content durable. Raises `FukiError` when it cannot be."""
        with self._errors():
            self._flusher.finish()

    def commit(self) -> None:
        """Make the content durable and give the file its name, replacing an existing file."""
        self.sync()
        self.refuse_input()
        with self._errors():
            self._directories += make_directories(self.path.parent)
            if self._temporary is not None or not self._link(self.path):
                self.stage()
                self._rename()

        self.finish()

    def refuse_input(self) -> None:
        """Raise `RecipeError` if the file would replace one that has been read by now."""
        refuse_overwriting(self.path, self._edited)

    # The methods below are the steps of `OutputFiles.commit`, which gives several files their names.

    def stage(self) -> None:
        """Give the file a temporary name beside its own."""
        with self._errors():
            self._directories += make_directories(self.path.parent)
            if self._temporary is None:
                temporary = _unused_name(self.path.parent, self.path)
                self._link(temporary)
                self._temporary = temporary

    def save_old(self) -> None:
        """Keep the file that is to be replaced under another name, where the file system can link it."""
        # Set before the link exists: a signal may arrive at any time.
        self._saved = _unused_name(self.path.parent, self.path, "old")
        try:
            os.link(self.path, self._saved, follow_symlinks=False)
        except OSError:
            # There is none, or it cannot be linked: then `replace_old` moves it.
            self._saved = None

    def replace_old(self) -> None:
        """Give the file its name; a file that had it keeps another one until `finish`."""
        with self._errors():
            if self._saved is None and os.path.lexists(self.path):
                self._saved = _unused_name(self.path.parent, self.path, "old")
                os.rename(self.path, self._saved)  # noqa: PTH104 - same call, plainer here
            self._rename()

    def _rename(self) -> None:
        # Once staged, `readable_path` is the temporary name.
        os.rename(self.readable_path, self.path)  # noqa: PTH104 - same call, plainer here
        self._temporary = None

    def restore_old(self) -> None:
        """Undo `replace_old`, whether it was completed, half done, or not begun. Raises `FukiError` if that fails."""
        own = os.fstat(self.descriptor)
        replaced = file_id(self.path) == (own.st_dev, own.st_ino)

        try:
            if self._saved is not None and (replaced or not os.path.lexists(self.path)):
                os.rename(self._saved, self.path)  # noqa: PTH104 - as above
                self._saved = None
            elif replaced:
                self.path.unlink()
        except OSError as error:
            hint = None if self._saved is None else f"what was there is now {self._saved}"
            message = f"cannot undo the writing of {self.path}: {error.strerror}"
            raise FukiError(message, hint=hint) from error

    def finish(self) -> None:
        """Delete the replaced file: the new one has its name for good."""
        status = os.fstat(self.descriptor)
        forget_written((status.st_dev, status.st_ino))
        self._directories.clear()
        if self._saved is not None:
            with suppress(OSError):
                self._saved.unlink()
            self._saved = None

    def _link(self, name: Path) -> bool:
        """Name the nameless file. False if the name is taken, since linking, unlike renaming, cannot replace a file."""
        descriptors = os.open("/proc/self/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # Only with a directory descriptor does Python call linkat(), which can follow the link.
            os.link(str(self.descriptor), name, src_dir_fd=descriptors, follow_symlinks=True)
        except FileExistsError:
            return False
        finally:
            os.close(descriptors)
        return True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._temporary is not None:
            with suppress(OSError):
                self._temporary.unlink()
        if self._saved is not None and _same_file(self._saved, self.path):
            with suppress(OSError):
                self._saved.unlink()

        remove_directories(self._directories)

        if self.descriptor >= 0:
            self._flusher.wait()
            os.close(self.descriptor)
            self.descriptor = -1

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn an `OSError` into an error that names the file."""
        try:
            yield
        except OSError as error:
            hint = "free some space, or write elsewhere with --output" if error.errno == errno.ENOSPC else None
            raise FukiError(f"cannot write {self.path}: {error.strerror}", hint=hint) from error


def refuse_replacing(path: Path, edited: FileId | None = None) -> None:
    """Raise `FukiError` for what is no file that a new one can replace, and for a file that was read.

    `edited` may be replaced although it was read.
    """
    if path.is_dir():
        raise FukiError(f"cannot write {path}: it is a directory")
    if path.exists() and not path.is_file():
        # Renaming would replace a device by a file.
        raise FukiError(f"cannot write {path}: it is not a regular file")
    refuse_overwriting(path, edited)


def check_writable(path: Path, edits: Path | None = None) -> None:
    """Raise `FukiError` where an `OutputFile` could not be opened, without writing anything."""
    refuse_replacing(path, None if edits is None else file_id(edits))
    directory = _nearest_directory(path)
    number = 0
    try:
        if not directory.is_dir():
            number = errno.ENOTDIR
        elif not os.access(directory, os.W_OK | os.X_OK):
            number = errno.EROFS if os.statvfs(directory).f_flag & os.ST_RDONLY else errno.EACCES
    except OSError as error:
        number = error.errno or errno.EACCES

    if number:
        raise FukiError(f"cannot write {path}: {os.strerror(number)}")


def _same_file(one: Path, other: Path) -> bool:
    try:
        return os.path.samestat(one.lstat(), other.lstat())
    except OSError:
        return False


def _same_content(one: int, other: int) -> bool:
    size = os.fstat(one).st_size
    if os.fstat(other).st_size != size:
        return False
    offsets = range(0, size, _PIECE)
    return all(os.pread(one, _PIECE, offset) == os.pread(other, _PIECE, offset) for offset in offsets)


def _nearest_directory(path: Path) -> Path:
    """The directory of a path, or its nearest parent that exists."""
    directory = path.parent
    while not directory.exists() and directory != directory.parent:
        directory = directory.parent
    return directory


def _unused_name(directory: Path, path: Path, kind: str = "tmp") -> Path:
    # A name has at most 255 bytes, and a character up to four.
    return directory / f".{path.name[:56]}.{os.urandom(4).hex()}.{kind}"
