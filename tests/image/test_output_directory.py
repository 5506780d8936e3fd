"""A directory appears with all its files, or not at all."""

import os
from pathlib import Path

import pytest

from fuki_build.errors import FukiError
from fuki_build.image.output_directory import NewFile, write_directory
from fuki_build.testing import tree

FILES = [NewFile("a.key", b"secret", secret=True), NewFile("a.pem", b"open")]


def modes(directory: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in (directory, *directory.iterdir())}


@pytest.mark.parametrize(("umask", "public"), [(0o022, 0o644), (0, 0o666), (0o077, 0o600)])
def test_only_its_owner_reads_what_is_secret_whatever_the_umask(tmp_path, umask, public):
    before = os.umask(umask)
    try:
        write_directory(tmp_path / "keys", FILES)
    finally:
        os.umask(before)
    assert modes(tmp_path / "keys") == {"keys": 0o700, "a.key": 0o600, "a.pem": public}


def test_files_have_their_content_and_nothing_stands_beside_them(tmp_path):
    write_directory(tmp_path / "new/keys", FILES)
    assert tree(tmp_path) == {
        "new": None,
        "new/keys": None,
        "new/keys/a.key": b"secret",
        "new/keys/a.pem": b"open",
    }


def test_an_empty_directory_is_taken(tmp_path):
    (tmp_path / "keys").mkdir()
    write_directory(tmp_path / "keys", FILES)
    assert (tmp_path / "keys/a.pem").read_bytes() == b"open"


@pytest.mark.parametrize("kind", ["full", "file", "link to nothing", "link to an empty directory"])
def test_what_is_there_stays_as_it_is(tmp_path, kind):
    path = tmp_path / "keys"
    if kind == "full":
        path.mkdir()
        (path / "a.key").write_bytes(b"old")
    elif kind == "file":
        path.write_bytes(b"old")
    else:
        (tmp_path / "empty").mkdir()
        path.symlink_to("nothing" if kind == "link to nothing" else "empty")

    before = tree(tmp_path)
    with pytest.raises(FukiError):
        write_directory(path, FILES)

    assert tree(tmp_path) == before


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(FukiError):
        write_directory(tmp_path / "keys", [*FILES, NewFile("x" * 300, b"")])
    assert tree(tmp_path) == {}


def test_what_appears_meanwhile_is_not_replaced(tmp_path, monkeypatch):
    real = Path.rename

    def rename(self: Path, target: Path) -> Path:
        target.mkdir()
        (target / "a.key").write_bytes(b"another's")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(FukiError):
        write_directory(tmp_path / "keys", FILES)
    assert tree(tmp_path) == {"keys": None, "keys/a.key": b"another's"}
