"""The user's cache directory."""

import os
import stat
from pathlib import Path

import pytest

from fuki_build.image.cache_directory import evict, private_directory, read_entry, touch_entry, write_entry


def filled(directory: Path, count: int) -> list[str]:
    """Files whose names are in the order of their last use."""
    names = [f"{number:03}" for number in range(count)]
    for number, name in enumerate(names):
        write_entry(directory / name, b"entry")
        os.utime(directory / name, ns=(number, number))
    return names


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path):
    names = filled(tmp_path, 12)
    evict(tmp_path, 12)
    assert names_in(tmp_path) == names

    write_entry(tmp_path / "new", b"entry")
    touch_entry(tmp_path / names[0])
    evict(tmp_path, 12)
    assert names_in(tmp_path) == sorted([names[0], *names[4:], "new"])


def test_as_many_go_as_are_too_many(tmp_path: Path):
    names = filled(tmp_path, 50)
    evict(tmp_path, 4)
    assert names_in(tmp_path) == names[-4:]


def test_a_directory_that_is_not_there_is_left_alone(tmp_path: Path):
    evict(tmp_path / "nowhere", 0)
    touch_entry(tmp_path / "nowhere")
    assert names_in(tmp_path) == []


def test_an_entry_is_private_and_replaces_the_one_before(tmp_path: Path):
    for data in (b"one", b"other"):
        write_entry(tmp_path / "entry", data)
        assert read_entry(tmp_path / "entry", 100) == data
    assert names_in(tmp_path) == ["entry"]
    assert stat.S_IMODE((tmp_path / "entry").stat().st_mode) == 0o600


def test_an_entry_that_cannot_be_named_leaves_nothing(tmp_path: Path):
    (tmp_path / "entry").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_entry(tmp_path / "entry", b"data")
    assert names_in(tmp_path) == ["entry"]


def test_a_link_in_place_of_a_directory_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    assert private_directory("digests") == tmp_path / "cache/fuki/digests"
    (tmp_path / "cache/fuki/digests").rmdir()
    (tmp_path / "cache/fuki/digests").symlink_to(tmp_path / "elsewhere")
    assert private_directory("digests") is None
