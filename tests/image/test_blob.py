"""Files are read to the end, whatever size they tell, or refused."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fuki_build.errors import FukiError
from fuki_build.image import blob as blobs
from fuki_build.image.blob import Blob, FilePart, read_small_file
from fuki_build.image.reading import read_pieces

PSEUDO = ("/proc/version", "/proc/self/status", "/sys/devices/system/cpu/online")
"""Files that tell 0 bytes, and one that tells a page."""


def whole(content: Blob) -> bytes:
    return b"".join(read_pieces(content))


@pytest.mark.parametrize("path", PSEUDO)
def test_a_file_that_does_not_tell_its_size_is_read_to_the_end(path):
    content = Blob.of_file(Path(path))
    expected = Path(path).read_bytes()
    assert expected
    assert content.size != Path(path).stat().st_size
    # What a process says of itself differs from read to read.
    assert whole(content)[:16] == expected[:16]
    assert whole(content).endswith(b"\n")


def test_what_was_read_is_not_read_again():
    """The second reading of a counter gives another number."""
    content = Blob.of_file(Path("/proc/self/stat"))
    assert whole(content) == content.read_at(0, content.size)


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 70_000])
def test_a_file_that_tells_its_size_stays_where_it_is(tmp_path, size):
    (tmp_path / "a").write_bytes(os.urandom(size))
    content = Blob.of_file(tmp_path / "a")
    assert [type(part) for part in content.parts] == [FilePart]
    assert whole(content) == (tmp_path / "a").read_bytes()


def test_one_without_an_end_is_refused_with_a_remedy():
    """A page of the map of memory for each page of memory: no size, and gigabytes."""
    with pytest.raises(FukiError, match="says that it has 0 bytes, and has another size") as caught:
        Blob.of_file(Path("/proc/self/pagemap"))
    assert "copy it to a file" in str(caught.value.hint)


def test_one_that_cannot_be_read_is_refused():
    with pytest.raises(FukiError, match="cannot read /proc/self/mem: "):
        Blob.of_file(Path("/proc/self/mem"))


@pytest.fixture
def served(tmp_path, monkeypatch) -> Callable[[int, bytes], Path]:
    """A file that tells a size of its own, as file systems in user space may."""

    def serve(told: int, data: bytes) -> Path:
        path = tmp_path / "served"
        path.write_bytes(data)
        real = os.fstat

        def fstat(descriptor: int) -> os.stat_result:
            status = real(descriptor)
            if status.st_ino != path.stat().st_ino:
                return status
            return os.stat_result([*status[:6], told, *status[7:10]])

        monkeypatch.setattr(blobs.os, "fstat", fstat)
        return path

    return serve


@pytest.mark.parametrize("told", [0, 1, 9, 11, 4096, 1 << 40])
def test_another_size_than_the_real_one_is_found_out(served, told):
    path = served(told, b"0123456789")
    assert whole(Blob.of_file(path)) == b"0123456789"
    assert read_small_file(path, 10) == b"0123456789"


def test_a_large_file_that_tells_another_size_is_refused(served, monkeypatch):
    monkeypatch.setattr(blobs, "_MAX_UNSIZED", 1000)
    with pytest.raises(FukiError, match="has another size, above 1000"):
        Blob.of_file(served(0, bytes(1001)))


class TestChanges:
    """A file that changes between planning and the end of reading is refused, never cut."""

    @pytest.fixture
    def path(self, tmp_path):
        (tmp_path / "a").write_bytes(bytes(3 << 20))
        return tmp_path / "a"

    @pytest.mark.parametrize("size", [0, 1 << 20, (3 << 20) - 1, (3 << 20) + 1, 4 << 20])
    def test_before_it_is_read(self, path, size):
        content = Blob.of_file(path)
        os.truncate(path, size)
        with pytest.raises(FukiError, match="changed while it was being used"):
            whole(content)
        with pytest.raises(FukiError, match="changed while it was being used"):
            content.read_at(0, 10)

    @pytest.mark.parametrize("size", [0, 1 << 20, (3 << 20) - 1, (3 << 20) + 1, 4 << 20])
    def test_while_it_is_read(self, path, size):
        pieces = read_pieces(Blob.of_file(path))
        next(pieces)
        os.truncate(path, size)
        with pytest.raises(FukiError, match=r"changed while|became shorter"):
            list(pieces)

    def test_while_a_part_of_it_is_read(self, path, monkeypatch):
        content = Blob.of_file(path)
        real = os.pread

        def pread(descriptor: int, length: int, offset: int) -> bytes:
            os.truncate(path, 100)
            return real(descriptor, length, offset)

        monkeypatch.setattr(os, "pread", pread)
        with pytest.raises(FukiError, match=r"changed while|became shorter"):
            content.read_at(0, 1000)


def test_a_read_that_gives_only_a_part_is_gone_on_with(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"0123456789")
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda descriptor, length, offset: real(descriptor, min(length, 3), offset))
    assert Blob.of_file(tmp_path / "a").read_at(1, 8) == b"12345678"
