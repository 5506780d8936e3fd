"""Names of the states that files are in."""

import mmap
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fuki_build.image import file_state as module
from fuki_build.image.file_state import file_state, file_system, settle, type_of_mount

MOUNTS = r"""
21 98 0:20 / /sys rw,nosuid - sysfs sysfs rw
36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
361 35 0:45 /@home /home\040of rw shared:7 master:2 - btrfs /dev/sda2 rw,subvol=/@home
362 35 0:46 / /odd rw
""".strip().splitlines()
"""The second line is the example of proc_pid_mountinfo(5)."""


@pytest.mark.parametrize(
    ("mount", "name"), [("36", "ext3"), ("361", "btrfs"), ("21", "sysfs"), ("3", None), ("362", None), ("", None)]
)
def test_a_mount_has_a_type(mount: str, name: str | None):
    assert type_of_mount(mount, MOUNTS) == name


def test_an_open_file_is_on_the_file_system_that_df_names(tmp_path: Path):
    for directory in (tmp_path, Path("/proc/self"), Path("/dev")):
        command = ["df", "--output=fstype", str(directory)]
        named = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            assert file_system(descriptor) == named
        finally:
            os.close(descriptor)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that was written before the clock of its file system ticked."""
    path = tmp_path / "file"
    path.write_bytes(b"content" * 1000)
    probe = tmp_path / "probe"
    probe.touch()
    while probe.stat().st_ctime_ns <= path.stat().st_ctime_ns:
        probe.touch()
    return path


@pytest.fixture
def descriptor(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(module, "file_system", lambda _: "ext4")
    descriptor = os.open(path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def write(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"C")


def write_and_set_the_time_back(path: Path) -> None:
    status = path.stat()
    write(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def replace_by_a_copy(path: Path) -> None:
    subprocess.run(["cp", "-p", path, path.with_name("copy")], check=True)
    path.with_name("copy").replace(path)


def lengthen(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"!")


def state_of(path: Path) -> str | None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return file_state(descriptor)
    finally:
        os.close(descriptor)


@pytest.mark.usefixtures("descriptor")
@pytest.mark.parametrize("change", [write, write_and_set_the_time_back, replace_by_a_copy, lengthen])
def test_a_change_gives_another_state(path: Path, change: Callable[[Path], None]):
    before = state_of(path)
    change(path)
    assert before is not None
    assert state_of(path) not in (before, None)


def test_reading_leaves_the_state(path: Path, descriptor: int):
    before = file_state(descriptor)
    assert path.read_bytes()
    assert state_of(path) == file_state(descriptor) == before


def test_a_write_through_a_mapping_is_a_change(path: Path, tmp_path: Path):
    """On the file systems that are trusted: others have no states."""
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapping:
        mapping[0] = 0
        # From here on, the page is dirty, and the next write into it would tell nobody.
        status = os.fstat(file.fileno())
        assert settle(file.fileno(), status.st_ctime_ns + 10**10)
        before = state_of(path)
        while (tmp_path / "probe").stat().st_ctime_ns <= status.st_ctime_ns:
            (tmp_path / "probe").touch()
        mapping[1] = 0
        assert before is None or state_of(path) != before


def test_a_file_is_settled_once_its_last_change_is_some_seconds_ago(path: Path, descriptor: int):
    changed = path.stat().st_ctime_ns
    assert [settle(descriptor, changed + seconds * 10**9) for seconds in (-1, 0, 2, 3)] == [False, False, False, True]


def test_a_file_whose_time_of_change_is_not_known_has_no_state(descriptor: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_BOOT_ID", Path("/nowhere"))
    assert file_state(descriptor) is None
