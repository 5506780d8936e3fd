"""Flushing while writing: nothing that the disk refused may go unnoticed."""

import errno
import os
from pathlib import Path

import pytest

from fuki_build.errors import FukiError
from fuki_build.image import flusher
from fuki_build.image.output_file import OutputFile


@pytest.fixture
def eager(monkeypatch):
    """Flush after every byte, and count."""
    calls: list[int] = []
    monkeypatch.setattr(flusher, "INTERVAL", 1)
    monkeypatch.setattr(os, "fdatasync", calls.append)
    return calls


def test_what_was_written_is_flushed_on_the_way(eager, tmp_path: Path):
    with OutputFile(tmp_path / "image") as file:
        file.write(b"content")
        file.commit()
    assert eager
    assert (tmp_path / "image").read_bytes() == b"content"


def test_little_is_not_worth_a_flush_on_the_way(monkeypatch, tmp_path: Path):
    calls: list[int] = []
    monkeypatch.setattr(os, "fdatasync", calls.append)
    with OutputFile(tmp_path / "image") as file:
        file.write(b"content")
        file.commit()
    assert not calls


@pytest.mark.usefixtures("eager")
def test_a_flush_that_fails_on_the_way_fails_the_file_although_the_last_one_succeeds(monkeypatch, tmp_path: Path):
    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fdatasync", fail)
    with OutputFile(tmp_path / "image") as file:
        file.write(b"content")
        with pytest.raises(FukiError, match=r"cannot write .*image: No space left on device"):
            file.commit()
    assert list(tmp_path.iterdir()) == []
