"""A file appears whole under its name, or not at all."""

import errno
import os
from pathlib import Path

import pytest

from fuki_build.errors import FukiError
from fuki_build.image.output_file import OutputFile


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.usefixtures("kind")
class TestOutputFile:
    def test_a_committed_file_has_its_content_and_is_alone(self, tmp_path):
        with OutputFile(tmp_path / "a") as file:
            file.write(b"one ")
            file.write(memoryview(b"two"))
            file.commit()
        assert (tmp_path / "a").read_bytes() == b"one two"
        assert names(tmp_path) == ["a"]

    def test_before_the_commit_an_old_file_stays(self, tmp_path):
        (tmp_path / "a").write_bytes(b"old")
        with OutputFile(tmp_path / "a") as file:
            file.write(b"new")
            assert (tmp_path / "a").read_bytes() == b"old"
            file.commit()
            assert (tmp_path / "a").read_bytes() == b"new"

    def test_without_a_commit_nothing_is_left(self, tmp_path):
        with OutputFile(tmp_path / "a") as file:
            file.write(b"new")
        assert names(tmp_path) == []

    def test_an_error_leaves_nothing(self, tmp_path):
        with pytest.raises(TypeError), OutputFile(tmp_path / "a") as file:
            file.write("no bytes")  # type: ignore[arg-type]
        assert names(tmp_path) == []

    def test_the_unfinished_file_can_be_read(self, tmp_path):
        with OutputFile(tmp_path / "a") as file:
            file.write(b"new")
            assert file.readable_path.read_bytes() == b"new"

    def test_directories_are_made(self, tmp_path):
        with OutputFile(tmp_path / "b/c/a") as file:
            file.commit()
        assert (tmp_path / "b/c/a").read_bytes() == b""

    def test_a_directory_is_refused(self, tmp_path):
        with pytest.raises(FukiError, match="it is a directory"), OutputFile(tmp_path):
            pass

    def test_the_mode_obeys_the_umask(self, tmp_path):
        old = os.umask(0o077)
        try:
            with OutputFile(tmp_path / "a") as file:
                file.commit()
        finally:
            os.umask(old)
        assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600

    def test_it_writes_into_the_current_directory(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with OutputFile(Path("a")) as file:
            file.commit()
        assert names(tmp_path) == ["a"]


def test_without_nameless_files_no_room_is_set_aside(kind, tmp_path, monkeypatch):
    sizes = []
    monkeypatch.setattr(os, "posix_fallocate", lambda _, offset, size: sizes.append(offset + size))
    with OutputFile(tmp_path / "a") as file:
        file.expect(1_000_000)
        file.write(b"small")
        file.write(bytes(500_000))
        file.write(bytes(500_000))
    assert sizes == ([1_000_000] if kind == "nameless" else [])


def test_a_file_that_was_lent_gets_no_room_for_what_it_was_to_be(tmp_path, monkeypatch):
    sizes = []
    monkeypatch.setattr(os, "posix_fallocate", lambda _, offset, size: sizes.append(offset + size))
    with OutputFile(tmp_path / "a") as file:
        file.expect(1_000_000)
        file.lend(Path.touch)
        file.write(bytes(500_000))
        file.commit()
    assert not sizes
    assert (tmp_path / "a").stat().st_size == 500_000


def test_what_the_system_refuses_is_told_with_the_path(tmp_path, monkeypatch):
    def full(descriptor: int, data: bytes) -> int:  # noqa: ARG001
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with OutputFile(tmp_path / "a") as file:
        monkeypatch.setattr(os, "write", full)
        with pytest.raises(FukiError, match=r"cannot write .*/a: No space left on device") as caught:
            file.write(b"x")
    assert "free some space" in str(caught.value.hint)


def test_a_file_that_cannot_be_made_durable_is_not_committed(tmp_path, monkeypatch):
    def broken(descriptor: int) -> None:  # noqa: ARG001
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(FukiError, match="Input/output error"), OutputFile(tmp_path / "a") as file:
        file.commit()
    assert names(tmp_path) == []


def test_a_write_that_takes_only_a_part_is_gone_on_with(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:3]))
    with OutputFile(tmp_path / "a") as file:
        file.write(b"0123456789")
        file.commit()
    assert (tmp_path / "a").read_bytes() == b"0123456789"


@pytest.mark.usefixtures("kind")
class TestWhatIsNoFile:
    """A device in the place of an output must not be replaced by a file."""

    def test_a_fifo_is_refused(self, tmp_path):
        os.mkfifo(tmp_path / "a")
        with pytest.raises(FukiError, match="not a regular file"), OutputFile(tmp_path / "a"):
            pass

    def test_a_link_to_a_device_is_refused(self, tmp_path):
        (tmp_path / "a").symlink_to("/dev/null")
        with pytest.raises(FukiError, match="not a regular file"), OutputFile(tmp_path / "a"):
            pass
        assert (tmp_path / "a").is_symlink()

    def test_a_link_to_nothing_is_replaced(self, tmp_path):
        (tmp_path / "a").symlink_to("nowhere")
        with OutputFile(tmp_path / "a") as file:
            file.commit()
        assert not (tmp_path / "a").is_symlink()
        assert names(tmp_path) == ["a"]
