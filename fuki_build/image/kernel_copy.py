"""What the kernel does with content by itself: it shares blocks between files, copies, and sets room aside."""

import errno
import os
import struct
from fcntl import ioctl

from fuki_build.image.blob import BLOCK

_CLONE_RANGE = 0x4020940D
"""FICLONERANGE (ioctl_ficlonerange(2)), which is the same number on all architectures that Linux's UKIs exist for."""
_NO_COPY = frozenset((errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EIO))
"""Why the kernel does not copy between two files: their file systems or their kinds, or because reading fails."""
_NO_ROOM_KEPT = frozenset((errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM))
"""Why a file system does not set room aside: it cannot."""


def share(source: int, offset: int, target: int, count: int) -> int:
    """Append up to `count` bytes of an open file, from `offset`, by having two files share their blocks.

    Gives how many bytes these are: those of whole blocks, 0 where the bytes begin within one. Raises `OSError` where
    the two files cannot share.
    """
    at = os.lseek(target, 0, os.SEEK_CUR)
    whole = count - count % BLOCK
    if not whole or offset % BLOCK or at % BLOCK:
        return 0
    ioctl(target, _CLONE_RANGE, struct.pack("=qQQQ", source, offset, whole, at))
    os.lseek(target, whole, os.SEEK_CUR)
    return whole


def copy(source: int, offset: int, target: int, count: int) -> int:
    """Append up to `count` bytes of an open file, from `offset`; how many, 0 where the kernel does not copy.

    Raises `OSError` for what else goes wrong.
    """
    try:
        return os.copy_file_range(source, target, count, offset)
    except OSError as error:
        if error.errno not in _NO_COPY:
            raise
        return 0


def set_room_aside(descriptor: int, size: int) -> None:
    """Let a file have `size` bytes, all of which are going to be written, where the file system can do that.

    Raises `OSError` where there is not so much room.
    """
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in _NO_ROOM_KEPT:
            raise
