"""Packages in the cache are what apt says they are, and apt stays as strict as the machine has it.

apt-get is one of the test's own, which says what the real one says (apt 2.6) and downloads what it is given.
"""

import hashlib
import os
import re
from pathlib import Path

import pytest

from fuki_build.builtin import apt
from fuki_build.errors import FukiError, RecipeError

APT_GET = """#!/bin/sh
echo "$@" >>"$HOME/calls"
env >>"$HOME/environment"
case "$*" in
*--print-uris*) echo "'http://archive.example/o_1_all.deb' o_1_all.deb 1$(cat "$HOME/digest")" ;;
*update*) grep -h . "$APT_CONFIG" "$(dirname "$APT_CONFIG")/sources.list" >"$HOME/updated" ;;
*) cp "$HOME/real" o_1_all.deb ;;
esac
"""


class Archive:
    def __init__(self, home: Path) -> None:
        self.home = home
        self.content = b"the real package"
        self.cached = home / "cache/fuki/apt/packages/o_1_all.deb"

    def offer(self, content: bytes, digest: str) -> None:
        (self.home / "real").write_bytes(content)
        (self.home / "digest").write_text(digest)

    @property
    def downloads(self) -> int:
        calls = (self.home / "calls").read_text().splitlines()
        return sum(" download" in call and "--print-uris" not in call for call in calls)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Archive:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "apt-get").write_text(APT_GET)
    (programs / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    archive = Archive(tmp_path)
    archive.offer(archive.content, f" SHA256:{sha256(archive.content)}")
    return archive


def test_a_file_that_is_what_apt_says_is_not_downloaded_again(archive: Archive):
    assert apt.download("o").read_bytes() == archive.content
    assert apt.download("o").read_bytes() == archive.content
    assert archive.downloads == 1


def test_a_file_of_the_right_name_alone_is_not_taken(archive: Archive):
    archive.cached.parent.mkdir(parents=True)
    archive.cached.write_bytes(b"anything")
    assert apt.download("o").read_bytes() == archive.content
    assert archive.downloads == 1


def test_a_wrong_file_is_replaced_where_the_recipe_has_a_digest(archive: Archive):
    archive.cached.parent.mkdir(parents=True)
    archive.cached.write_bytes(b"anything")
    assert apt.download("o", "1", sha256=sha256(archive.content)).read_bytes() == archive.content


def test_sha512_counts_and_weaker_digests_do_not(archive: Archive):
    archive.offer(archive.content, f" SHA512:{hashlib.sha512(archive.content).hexdigest()}")
    apt.download("o")
    apt.download("o")
    assert archive.downloads == 1
    weak = hashlib.md5(archive.content, usedforsecurity=False).hexdigest()
    for digest in (f" MD5Sum:{weak}", ""):
        archive.offer(archive.content, digest)
        downloads = archive.downloads
        apt.download("o")
        assert archive.downloads == downloads + 1


def test_a_download_that_is_something_else_is_refused_and_not_kept(archive: Archive):
    archive.offer(b"something else", f" SHA256:{sha256(archive.content)}")
    with pytest.raises(FukiError, match=r"apt downloaded another o_1_all\.deb than it had announced"):
        apt.download("o")
    assert list(archive.cached.parent.iterdir()) == []


def test_what_a_killed_download_left_behind_is_cleaned_up(archive: Archive):
    (archive.cached.parent / ".1234").mkdir(parents=True)
    apt.download("o")
    assert [path.name for path in archive.cached.parent.iterdir()] == [archive.cached.name]


@pytest.mark.parametrize("suite", ["../../../x", "a/../../x", "/x", 'sid"; x', "sid\n", "sid main\nApt::x", ".", ""])
def test_a_suite_that_is_none_writes_nothing(archive: Archive, suite: str):
    with pytest.raises(RecipeError, match="is no name of a suite"):
        apt.download("o", suite=suite)
    assert [path.name for path in (archive.home / "cache/fuki/apt").iterdir()] == ["lock"]


@pytest.mark.parametrize("suite", ["sid", "bookworm-backports", "stable/updates", "rc-buggy"])
def test_a_suite_is_asked_for_in_a_root_of_its_own(archive: Archive, suite: str):
    apt.download("o", suite=suite)
    assert re.search(rf"^deb .* {suite} main$", (archive.home / "updated").read_text(), re.MULTILINE)
    assert (archive.home / "cache/fuki/apt").is_dir()
    assert all(path.parent == archive.home / "cache/fuki/apt" for path in (archive.home / "cache/fuki/apt").iterdir())


def test_how_strict_apt_is_stays_the_machines_business(archive: Archive):
    apt.download("o", suite="sid")
    configuration = (archive.home / "updated").read_text()
    assert "Valid" not in configuration
    assert "Sandbox" not in configuration


def test_apt_sees_proxies_and_no_secrets(archive: Archive, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FUKI_TEST_SECRET", "secret")
    monkeypatch.setenv("http_proxy", "http://proxy.example")
    apt.download("o")
    environment = (archive.home / "environment").read_text().splitlines()
    assert "http_proxy=http://proxy.example" in environment
    assert not [line for line in environment if line.startswith("FUKI_TEST_SECRET")]
