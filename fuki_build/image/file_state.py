"""Which state a file is in, by what the kernel says of it: the same name only while its bytes are the same.

That is so where every change of the content is a change of ctime, which no program sets: on the local file systems of
`_TRUSTED`, as long as the machine runs. Writing sets ctime before the bytes change, and so does the first write into a
page that is mapped and clean (`file_update_time` in Linux). Elsewhere, the clock is another machine's, or ctime is not
kept so: network file systems, FUSE, overlays, FAT, tmpfs.
"""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

_TRUSTED = frozenset(("btrfs", "ext2", "ext3", "ext4", "xfs"))
"""Those that tests/image/test_file_state.py was run on."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_SETTLING = 3 * 1_000_000_000
"""Time in ns in which two changes may have the same ctime: some file systems count in seconds, and clocks tick."""


def file_state(descriptor: int) -> str | None:
    """The name of the state that an open file is in, 64 digits in hex; None where nothing tells states apart.

    With the machine's boot in it, for what a crash lost or another system changed meanwhile tells nothing of itself.
    """
    try:
        if file_system(descriptor) not in _TRUSTED:
            return None
        status = os.fstat(descriptor)
        place = (_BOOT_ID.read_text().strip(), os.fstatvfs(descriptor).f_fsid, status.st_dev, status.st_ino)
    except OSError:
        return None
    state = (*place, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return hashlib.sha256(" ".join(map(str, state)).encode()).hexdigest()


def settle(descriptor: int, now: int) -> bool:
    """Whether every change of an open file from `now` on, in ns since 1970, will give it another state.

    What programs have written through mappings goes to the disk, since only clean pages tell of the next write.
    """
    try:
        if now - os.fstat(descriptor).st_ctime_ns < _SETTLING:
            return False
        os.fdatasync(descriptor)
    except OSError:
        return False
    return True


def file_system(descriptor: int) -> str | None:
    """The type of the file system that an open file is on, as /proc/self/mountinfo has it; None if that is unknown."""
    try:
        fields = dict(line.split(":", 1) for line in Path(f"/proc/self/fdinfo/{descriptor}").read_text().splitlines())
        with Path("/proc/self/mountinfo").open(encoding="utf-8", errors="replace") as mounts:
            return type_of_mount(fields["mnt_id"].strip(), mounts)
    except (OSError, KeyError, ValueError):
        return None


def type_of_mount(mount: str, mounts: Iterable[str]) -> str | None:
    """The file system's type of the mount with that id, from the lines of mountinfo (proc_pid_mountinfo(5))."""
    for line in mounts:
        if line.split(" ", 1)[0] == mount:
            # Optional fields end with a hyphen that stands alone; spaces in paths are escaped.
            return line.partition(" - ")[2].split(" ", 1)[0] or None
    return None
