"""Content on its way from file to file without anyone looking at it, and room for it."""

import errno
import os
import struct
from fcntl import ioctl

from fuki_build.image.blob import BLOCK

_CLONE_RANGE = 0x4020940D
"""FICLONERANGE (ioctl_ficlonerange(2)), which is the same number on all architectures that Linux's UKIs exist for."""
_NO_COPY = frozenset((errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EIO))
"""Why the kernel does not copy between two files: their file systems or their kinds, or because reading fails."""
_BUFFER = 256 * 1024
"""Bytes that stay in the cache of a processor."""
_NO_ROOM_KEPT = frozenset((errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM))
"""Why a file system does not set room aside: it cannot."""


class FileCopier:
    """Appends content to an open file, in the quickest way that its file system has.

    `is_local` tells that it is on this machine, where room can be set aside. What goes wrong is an `OSError`.
    """

    def __init__(self, target: int, *, is_local: bool) -> None:
        self._target = target
        self._is_local = is_local
        self._expected = 0
        self._shares = True

    def expect(self, size: int) -> None:
        """Tell how large the file is going to be, whose room then is set aside before large content is copied."""
        self._expected = size

    def set_room_aside(self) -> None:
        """Let the file have all of its size, where its file system can do that.

        Finding room piece by piece costs a quarter of a copy, and a disk that is too full says so early.
        """
        size, self._expected = self._expected, 0
        # Elsewhere, the C library may write zeros in place of that.
        if not size or not self._is_local:
            return
        try:
            os.posix_fallocate(self._target, 0, size)
        except OSError as error:
            if error.errno not in _NO_ROOM_KEPT:
                raise

    def copy(self, source: int, offset: int, count: int) -> int:
        """Append up to `count` bytes of an open file, from `offset`; how many, 0 where they have to be read.

        Where the file system can, both files then share the blocks.
        """
        if shared := self._share(source, offset, count):
            return shared
        if count >= _BUFFER:
            self.set_room_aside()
        # Where the file is another machine's, that may copy by itself.
        return self._copy_through(source, offset, count) if self._is_local else self._hand_over(source, offset, count)

    def _share(self, source: int, offset: int, count: int) -> int:
        """Have both files share whole blocks; 0 bytes where they begin within one, or the file system does not."""
        at = os.lseek(self._target, 0, os.SEEK_CUR)
        whole = count - count % BLOCK
        if not self._shares or not whole or offset % BLOCK or at % BLOCK:
            return 0
        try:
            ioctl(self._target, _CLONE_RANGE, struct.pack("=qQQQ", source, offset, whole, at))
        except OSError as error:
            # Whatever the reason, the copy that follows tells of it; inputs may be on several file systems.
            self._shares = error.errno == errno.EXDEV
            return 0
        os.lseek(self._target, whole, os.SEEK_CUR)
        return whole

    def _copy_through(self, source: int, offset: int, count: int) -> int:
        """Copy through a buffer; on local file systems quicker than the kernel's own copy, which goes by 64 KiB."""
        buffer = memoryview(bytearray(min(_BUFFER, count)))
        copied = 0
        while copied < count:
            try:
                size = os.preadv(source, [buffer[: count - copied]], offset + copied)
            except OSError:
                # Whoever reads this once more tells of it.
                break
            if not size:
                break
            piece = buffer[:size]
            while piece:
                piece = piece[os.write(self._target, piece) :]
            copied += size
        return copied

    def _hand_over(self, source: int, offset: int, count: int) -> int:
        """Leave the copying to the kernel; 0 bytes where it does not copy between the two files."""
        try:
            return os.copy_file_range(source, self._target, count, offset)
        except OSError as error:
            if error.errno not in _NO_COPY:
                raise
            return 0
