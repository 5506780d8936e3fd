"""Files that are got once for each content, and are what they say they are whenever they are used."""

import hashlib
import os
import stat
from pathlib import Path

import pytest

from fuki_build.errors import FukiError, RecipeError
from fuki_build.hooks import SourceContext
from fuki_build.image.guard import guarding
from fuki_build.image.output_file import OutputFile

CONTENT = b"firmware " * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Server:
    """Counts how often it is asked."""

    def __init__(self, content: bytes = CONTENT) -> None:
        self.content = content
        self.asked = 0

    def __call__(self, file) -> None:
        self.asked += 1
        file.write(self.content[:100])
        file.write(self.content[100:])


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/fuki/content"


@pytest.fixture
def context(tmp_path) -> SourceContext:
    (tmp_path / "workspace").mkdir()
    return SourceContext(tmp_path, tmp_path / "workspace")


def kept(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir()) if directory.exists() else []


def test_a_file_is_got_once(cache, context):
    server = Server()
    paths = {context.cached(DIGEST, server) for _ in range(3)}
    assert paths == {cache / DIGEST}
    assert server.asked == 1
    assert (cache / DIGEST).read_bytes() == CONTENT


def test_nobody_else_can_read_what_is_kept(cache, context):
    context.cached(DIGEST, Server())
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (cache.parent, cache, cache / DIGEST)]
    assert modes == [0o700, 0o700, 0o600]


def change(path: Path) -> None:
    path.write_bytes(CONTENT[:-1] + b"!")


def cut(path: Path) -> None:
    path.write_bytes(CONTENT[:-1])


def link(path: Path) -> None:
    elsewhere = path.parent.parent / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("spoil", [change, cut, link, fifo])
def test_what_is_no_longer_the_content_is_got_anew(cache, context, spoil):
    server = Server()
    spoil(context.cached(DIGEST, server))
    assert context.cached(DIGEST, server).read_bytes() == CONTENT
    assert server.asked == 2
    assert (cache / DIGEST).is_file()
    assert not (cache / DIGEST).is_symlink()


def test_another_content_is_refused_and_nothing_of_it_stays(cache, context):
    with pytest.raises(RecipeError, match=f"expected is {DIGEST}"):
        context.cached(DIGEST, Server(b"other" * 100))
    assert kept(cache) == []


def test_more_than_the_limit_is_refused_and_nothing_of_it_stays(cache, context):
    with pytest.raises(FukiError, match="more than 4096 bytes"):
        context.cached(DIGEST, Server(), limit=4096)
    assert kept(cache) == []


def test_what_the_server_raises_passes_and_nothing_stays(cache, context):
    def fetch(file) -> None:
        file.write(CONTENT[:10])
        raise OSError("the server is gone")

    with pytest.raises(OSError, match="the server is gone"):
        context.cached(DIGEST, fetch)
    assert kept(cache) == []


@pytest.mark.parametrize("digest", ["", DIGEST[:-1], DIGEST.upper(), f"../{DIGEST[3:]}", f"sha256:{DIGEST}"])
@pytest.mark.usefixtures("cache")
def test_what_is_no_digest_is_refused(context, digest):
    with pytest.raises(RecipeError, match="is no SHA-256"):
        context.cached(digest, Server())


def test_another_command_may_get_the_same_file_meanwhile(cache, context):
    """The first that is done stays: whoever uses it by now has noted its inode."""
    finished = []

    def fetch(file) -> None:
        Server()(file)
        finished.append(context.cached(DIGEST, Server()).stat().st_ino)

    assert context.cached(DIGEST, fetch).stat().st_ino == finished[0]
    assert kept(cache) == [DIGEST]


def in_the_workspace(path: Path, context: SourceContext) -> bool:
    return path == context.workspace / "content" / DIGEST


def test_a_cache_that_cannot_be_written_is_done_without(cache, context):
    cache.parent.parent.write_bytes(b"")
    assert in_the_workspace(context.cached(DIGEST, Server()), context)


def test_a_cache_in_which_others_may_write_is_done_without(cache, context):
    context.cached(DIGEST, Server())
    cache.chmod(0o777)
    server = Server()
    assert in_the_workspace(context.cached(DIGEST, server), context)
    assert server.asked == 1


def test_without_a_home_a_file_lives_as_long_as_the_command(monkeypatch, context):
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    server = Server()
    assert all(in_the_workspace(context.cached(DIGEST, server), context) for _ in range(2))
    assert server.asked == 1


def test_no_output_replaces_what_is_kept(cache, context):
    with guarding():
        path = context.cached(DIGEST, Server())
        with pytest.raises(RecipeError, match="read"), OutputFile(path):
            pass
    assert (cache / DIGEST).read_bytes() == CONTENT
