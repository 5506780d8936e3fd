"""Secrets from files, pipes, the environment and a terminal."""

import getpass
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from fuki_build.errors import SigningError
from fuki_build.hooks import secrets
from fuki_build.hooks.secrets import read_secret

NOT_UTF8 = "geheim\udcff"  # as Python holds a byte that is not UTF-8


def read(source: str | None) -> str:
    return read_secret(source, Path(), "PIN", "pin")


def test_a_secret_of_the_environment_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SECRET", " gehéim ")
    assert read("env:SECRET") == " gehéim "


def test_a_secret_of_the_environment_that_is_not_text_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SECRET", NOT_UTF8)
    with pytest.raises(SigningError, match="pin: SECRET, which is to hold the PIN, is not UTF-8 text") as caught:
        read("env:SECRET")
    assert caught.value.__cause__ is None


def test_a_typed_secret_that_is_not_text_is_refused(monkeypatch: pytest.MonkeyPatch):
    def typed(*_: object, **__: object) -> str:
        return b"geheim\xff".decode()

    monkeypatch.setattr(getpass, "getpass", typed)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with pytest.raises(SigningError, match="pin: the PIN that was given is not UTF-8 text"):
        read(None)


class TestFiles:
    LIMIT = 64 * 1024

    def test_a_secret_has_no_line_breaks_at_its_end(self, tmp_path):
        (tmp_path / "pin").write_bytes(b" 12\n34\r\n\n")
        assert read(f"file:{tmp_path}/pin") == " 12\n34"

    def test_the_largest_one_is_read_whole(self, tmp_path):
        (tmp_path / "pin").write_bytes(b"x" * self.LIMIT)
        assert len(read(f"file:{tmp_path}/pin")) == self.LIMIT

    @pytest.mark.parametrize("source", ["file:{}/pin", "credential:pin"])
    def test_a_larger_one_is_refused_and_not_cut(self, tmp_path, monkeypatch, source):
        """A cut PIN would be tried, and a token counts that."""
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
        (tmp_path / "pin").write_bytes(b"x" * (self.LIMIT + 1))
        with pytest.raises(SigningError, match="has more than 65536 bytes") as caught:
            read(source.format(tmp_path))
        assert "xx" not in str(caught.value)
        assert "nothing else" in str(caught.value.hint)

    @pytest.mark.parametrize("path", ["/dev/zero", "/dev"])
    def test_what_is_no_file_and_no_pipe_is_refused(self, path):
        with pytest.raises(SigningError, match=f"cannot read the PIN from {path}: "):
            read(f"file:{path}")

    def test_a_file_that_tells_no_size_is_read(self):
        assert read("file:/proc/version") == Path("/proc/version").read_text().rstrip("\n")


class TestPipes:
    @pytest.fixture
    def fifo(self, tmp_path: Path) -> Path:
        os.mkfifo(tmp_path / "pin")
        return tmp_path / "pin"

    @pytest.fixture
    def silent(self, fifo: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
        """A writer that has the pipe open and writes nothing; nobody waits long for it."""
        monkeypatch.setattr(secrets, "_PATIENCE", 0.05)
        descriptor = os.open(fifo, os.O_RDWR)
        yield descriptor
        os.close(descriptor)

    def test_one_without_a_writer_does_not_block_for_ever(self, fifo, monkeypatch):
        monkeypatch.setattr(secrets, "_PATIENCE", 0.05)
        with pytest.raises(SigningError, match="nobody wrote all of it within"):
            read(f"file:{fifo}")

    def test_a_writer_may_come_later(self, fifo):
        thread = Thread(target=fifo.write_bytes, args=[b"1234\n"])
        thread.start()
        assert read(f"file:{fifo}") == "1234"
        thread.join()

    @pytest.mark.usefixtures("silent")
    def test_a_writer_that_writes_nothing_is_given_up(self, fifo):
        with pytest.raises(SigningError, match="nobody wrote all of it within"):
            read(f"file:{fifo}")

    def test_a_writer_that_never_ends_is_given_up(self, fifo, silent):
        os.write(silent, b"1234")
        with pytest.raises(SigningError, match="nobody wrote all of it within"):
            read(f"file:{fifo}")

    def test_what_comes_in_pieces_is_read_whole(self):
        ours, theirs = os.pipe()
        first = os.write(theirs, b"12")

        def rest() -> None:
            os.write(theirs, b"34\n")
            os.close(theirs)

        thread = Thread(target=rest)
        thread.start()
        try:
            assert (first, read(f"file:/proc/self/fd/{ours}")) == (2, "1234")
        finally:
            thread.join()
            os.close(ours)
