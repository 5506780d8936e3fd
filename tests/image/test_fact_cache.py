"""Facts that are found once for each content."""

import os
import stat

import pytest

from fuki_build.image.fact_cache import remembered


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/fuki"


@pytest.fixture
def find():
    class Finder:
        def __init__(self) -> None:
            self.asked: list[bytes] = []
            self.answer: bool | None = True

        def __call__(self, content: bytes) -> bool | None:
            self.asked.append(content)
            return self.answer

    return Finder()


@pytest.mark.parametrize("answer", [True, False, None])
def test_a_fact_is_found_once(cache, find, answer):
    find.answer = answer
    assert [remembered("odd-1", b"content", find) for _ in range(3)] == [answer] * 3
    assert find.asked == [b"content"]
    (file,) = cache.iterdir()
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert file.name.startswith("odd-1-")


@pytest.mark.usefixtures("cache")
def test_other_content_and_other_facts_are_found_on_their_own(find):
    for fact, content in (("odd-1", b"one"), ("odd-1", b"other"), ("even-1", b"one")):
        remembered(fact, content, find)
    assert len(find.asked) == 3


@pytest.mark.parametrize("spoil", [lambda path: path.write_bytes(b"yesterday\n"), os.mkfifo, lambda path: path.mkdir()])
def test_what_is_no_answer_is_found_anew(cache, find, spoil):
    remembered("odd-1", b"content", find)
    (file,) = cache.iterdir()
    file.unlink()
    spoil(file)
    assert remembered("odd-1", b"content", find) is True
    assert len(find.asked) == 2


def test_a_link_is_not_followed(cache, find, tmp_path):
    remembered("odd-1", b"content", find)
    (file,) = cache.iterdir()
    file.unlink()
    (tmp_path / "no").write_bytes(b"no\n")
    file.symlink_to(tmp_path / "no")
    assert remembered("odd-1", b"content", find) is True
    assert (tmp_path / "no").read_bytes() == b"no\n"


def test_a_cache_that_cannot_be_written_is_done_without(cache, find):
    cache.parent.write_bytes(b"")
    assert [remembered("odd-1", b"content", find) for _ in range(2)] == [True, True]
    assert len(find.asked) == 2


@pytest.mark.parametrize("base", ["", "relative"])
def test_without_a_home_nothing_is_kept(monkeypatch, tmp_path, find, base):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", base)
    remembered("odd-1", b"content", find)
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_is_not_there_is_not_made(monkeypatch, tmp_path, find):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    remembered("odd-1", b"content", find)
    assert list(tmp_path.iterdir()) == []


def test_without_a_directory_of_its_own_the_home_has_it(monkeypatch, tmp_path, find):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    remembered("odd-1", b"content", find)
    assert len(list((tmp_path / ".cache/fuki").iterdir())) == 1
