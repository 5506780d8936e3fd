"""Files that appear whole under their name, or not at all."""

import errno
import os
import secrets
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from fuki_build.errors import FukiError
from fuki_build.image.flusher import Flusher


class OutputFile:
    """A new file in the making; `commit()` gives it its name, leaving the `with` without it leaves nothing.

    The file has no name until then where the file system can do that (O_TMPFILE), so that even a killed process
    leaves nothing behind. An existing file of the name stays as it is until it is replaced as a whole.
    """

    def __init__(self, path: Path, mode: int = 0o666) -> None:
        self.path = path
        self._mode = mode
        self._temporary: Path | None = None
        self.descriptor = -1

    def __enter__(self) -> Self:
        if self.path.is_dir():
            raise FukiError(f"cannot write {self.path}: it is a directory")
        if self.path.exists() and not self.path.is_file():
            # Renaming would put a file in the place of a device.
            raise FukiError(f"cannot write {self.path}: it is not a regular file")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.descriptor = self._open()
        except OSError as error:
            raise self._error(error) from error
        self._flusher = Flusher(self.descriptor)
        return self

    def _open(self) -> int:
        directory = self.path.parent
        try:
            return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, self._mode)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT):
                raise
        self._temporary = self._unused_name()
        return os.open(self._temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, self._mode)

    def _unused_name(self) -> Path:
        return self.path.parent / f".{self.path.name}.{secrets.token_hex(4)}.tmp"

    def write(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        try:
            while view:
                done = os.write(self.descriptor, view)
                self._flusher.wrote(done)
                view = view[done:]
        except OSError as error:
            raise self._error(error) from error

    def patch(self, offset: int, data: bytes) -> None:
        """Write over what was written before."""
        try:
            os.pwrite(self.descriptor, data, offset)
        except OSError as error:
            raise self._error(error) from error

    def lend(self, use: Callable[[Path], None]) -> None:
        """Let `use` work on the unfinished file under a name; it may put another file in its place."""
        try:
            if self._temporary is None:
                self._temporary = self._unused_name()
                self._link(self._temporary)
            mode = os.fstat(self.descriptor).st_mode
            use(self._temporary)
            descriptor = os.open(self._temporary, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            self._flusher.wait()
            os.close(self.descriptor)
            self.descriptor = descriptor
            self._flusher = Flusher(descriptor)
            os.fchmod(descriptor, stat.S_IMODE(mode))
        except OSError as error:
            raise self._error(error) from error

    @property
    def readable_path(self) -> Path:
        """A path under which the unfinished file can be read by this process."""
        return self._temporary or Path(f"/proc/self/fd/{self.descriptor}")

    def sync(self) -> None:
        """Make the content durable. Raises `FukiError` when it cannot be."""
        try:
            self._flusher.finish()
        except OSError as error:
            raise self._error(error) from error

    def commit(self) -> None:
        """Make the content durable and give it its name, replacing what had it."""
        self.sync()
        try:
            if self._temporary is None and self._link(self.path):
                return
            if self._temporary is None:
                self._temporary = self._unused_name()
                self._link(self._temporary)
            os.rename(self._temporary, self.path)  # noqa: PTH104 - same call, plainer here
            self._temporary = None
        except OSError as error:
            raise self._error(error) from error

    def _link(self, name: Path) -> bool:
        """Name the nameless file; False if the name is taken: rename can replace what has it, linking cannot."""
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
        if self.descriptor >= 0:
            self._flusher.wait()
            os.close(self.descriptor)
            self.descriptor = -1

    def _error(self, error: OSError) -> FukiError:
        hint = "free some space, or write elsewhere with --output" if error.errno == errno.ENOSPC else None
        return FukiError(f"cannot write {self.path}: {error.strerror}", hint=hint)
