"""Several files appear together, or not at all: whatever stands in the way, and whenever the process is killed."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from fuki_build.errors import FukiError, RecipeError
from fuki_build.image.blob import Blob
from fuki_build.image.guard import guarding
from fuki_build.image.output_file import OutputFile
from fuki_build.image.output_files import OutputFiles
from fuki_build.testing import tree

NAMES = ("a", "b", "new/c", "d", "new/e")
OLD = {name: f"old {name}".encode() for name in ("a", "b", "d")}
NEW = {name: f"new {name}".encode() for name in NAMES}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name, data in OLD.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def write_all(place: Path, names: tuple[str, ...] = NAMES) -> None:
    with OutputFiles() as files:
        for name in names:
            files.open(place / name).write(NEW[name])
        files.commit()


@pytest.fixture
def make_immovable(monkeypatch) -> Iterator[Callable[[Path], None]]:
    """Put something in the way of a file's replacement: its immutable bit, a mount, or else a directory."""
    undo: list[list[str]] = []

    def succeeds(*command: str) -> bool:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def make(path: Path) -> None:
        if succeeds("chattr", "+i", str(path)):
            undo.append(["chattr", "-i", str(path)])
        elif succeeds("mount", "--bind", str(path), str(path)):
            undo.append(["umount", str(path)])
        else:
            real = OutputFile.sync

            def appear(file: OutputFile) -> None:
                # Somebody puts a directory there when the output is open already.
                real(file)
                if file.path == path and path.is_file():
                    path.rename(path.with_name("moved"))
                    path.mkdir()
                    (path / "somebody's").touch()

            monkeypatch.setattr(OutputFile, "sync", appear)

    yield make
    for command in undo:
        subprocess.run(command, check=True)


def content(place: Path) -> dict[str, bytes | None]:
    """The tree, the obstacle of `make_immovable` being what it was."""
    left = tree(place)
    if "moved" in left:
        name = next(name for name in OLD if left[name] is None)
        left[name] = left.pop("moved")
        del left[f"{name}/somebody's"]
    return left


@pytest.mark.usefixtures("kind")
def test_all_appear_and_nothing_stands_beside_them(place):
    write_all(place)
    assert tree(place) == {**NEW, "new": None}


@pytest.mark.usefixtures("kind")
@pytest.mark.parametrize("order", [NAMES, NAMES[::-1]], ids=["forth", "back"])
@pytest.mark.parametrize("name", OLD)
def test_one_that_cannot_be_replaced_leaves_all_old(place, make_immovable, name, order):
    make_immovable(place / name)
    with pytest.raises(FukiError, match=rf"cannot write .*/{name}: "):
        write_all(place, order)
    assert content(place) == OLD


def test_without_hard_links_old_files_come_back_too(place, make_immovable, monkeypatch):
    def refuse(source: object, *_: object, **options: object) -> None:
        # As on FAT; only the nameless new file is still given a name.
        if "src_dir_fd" in options:
            return real(source, *_, **options)
        raise PermissionError(1, "Operation not permitted")

    real: Callable[..., None] = os.link
    monkeypatch.setattr(os, "link", refuse)
    make_immovable(place / "d")
    with pytest.raises(FukiError, match=r"cannot write .*/d: "):
        write_all(place)
    assert content(place) == OLD


@pytest.mark.usefixtures("kind")
def test_without_a_commit_nothing_changes(place):
    with OutputFiles() as files:
        for name in NAMES:
            files.open(place / name).write(NEW[name])
    assert tree(place) == OLD


@pytest.mark.usefixtures("kind")
def test_an_interrupt_between_renames_leaves_all_old(place, monkeypatch):
    real = os.rename

    def rename(source: Path, target: Path) -> None:
        if Path(str(target)).name == "d" and ".old" not in str(source):
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(KeyboardInterrupt):
        write_all(place)
    assert tree(place) == OLD


def test_what_cannot_come_back_is_told_of_and_kept(place, monkeypatch):
    real = os.rename

    def rename(source: Path, target: Path) -> None:
        if Path(str(target)).name == "d" or (str(source).endswith(".old") and Path(str(target)).name == "b"):
            raise OSError(5, "Input/output error")
        real(source, target)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(FukiError, match=r"cannot undo the writing of .*/b: Input/output error") as caught:
        write_all(place)
    kept = Path(str(caught.value.hint).removeprefix("what was there is now "))
    assert kept.read_bytes() == OLD["b"]
    assert (place / "a").read_bytes() == OLD["a"]


_SPELLINGS = {
    "the same": "new/c",
    "with dots": "new/../new/./c",
    "through a linked directory": "linked/new/c",
    "through a link to it": "link",
}


@pytest.mark.parametrize("second", _SPELLINGS.values(), ids=_SPELLINGS)
def test_two_outputs_with_one_path_are_refused(place, second):
    (place / "linked").symlink_to(place)
    (place / "link").symlink_to("new/c")
    with OutputFiles() as files:
        files.open(place / "new/c")
        with pytest.raises(RecipeError, match="two outputs write"):
            files.open(place / second)


def test_a_file_that_is_read_while_outputs_are_made_is_not_replaced(place):
    with guarding(), OutputFiles() as files:
        files.open(place / "new/c")
        files.open(place / "a")
        Blob.of_file(place / "a")
        with pytest.raises(RecipeError, match=r"would replace the input .*/a"):
            files.commit()
    assert tree(place) == OLD


def test_what_was_written_and_read_again_can_be_replaced(place):
    with guarding():
        for _ in range(2):
            with OutputFile(place / "a") as file:
                file.write(b"mine")
                Blob.of_file(file.readable_path)
                file.commit()
    assert (place / "a").read_bytes() == b"mine"


_KILLED = """
import json, os, pathlib, shutil, signal, sys
from fuki_build.image.output_files import OutputFiles

place, names, old = pathlib.Path(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3])
CALLS = ("open", "write", "link", "rename", "unlink", "mkdir", "fsync")

def child(number):
    # Dies when it has done that many of the calls that change files.
    left = number
    def counted(real):
        def call(*arguments, **options):
            nonlocal left
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            return real(*arguments, **options)
        return call
    for name in CALLS:
        setattr(os, name, counted(getattr(os, name)))
    with OutputFiles() as files:
        for name in names:
            files.open(place / "it" / name).write(f"new {name}".encode())
        files.commit()
    os._exit(0)

states = []
for number in range(1000):
    (place / "it").mkdir()
    for name in old:
        (place / "it" / name).write_text(f"old {name}")
    pid = os.fork()
    if pid == 0:
        try:
            child(number)
        finally:
            os._exit(9)
    _, status = os.waitpid(pid, 0)
    found = {str(p.relative_to(place / "it")): p.read_text() for p in (place / "it").rglob("*") if p.is_file()}
    states.append([status, found])
    shutil.rmtree(place / "it")
    if status == 0:
        break
print(json.dumps(states))
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[int, dict[str, str]]]]:
    """For each number of calls after which a process was killed: how it ended, and the files that were there then."""
    place = tmp_path_factory.mktemp("killed")
    command = [sys.executable, "-c", _KILLED, str(place), json.dumps(NAMES), json.dumps(list(OLD))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return place, json.loads(done.stdout)


def test_a_kill_at_any_moment_leaves_whole_files_and_a_mix_only_between_renames(killed):
    _, states = killed
    old = {name: data.decode() for name, data in OLD.items()}

    new = {name: data.decode() for name, data in NEW.items()}
    mixed = []
    for status, files in states:
        assert status in (0, 9)
        beside = {name: data for name, data in files.items() if Path(name).name.startswith(".")}
        named = {name: data for name, data in files.items() if name not in beside}
        # Every file is whole, and what was there is there, under its name or beside it.
        assert set(beside.values()) <= {*new.values(), *old.values(), ""}
        for name in NAMES:
            assert named.get(name) in (old.get(name), new[name])
            assert name not in old or old[name] in named.values() or named[name] == new[name]
        if named not in (old, new):
            mixed.append(named)
            assert beside, "what is not finished can be seen"

    # Only between the five renames: each mix is another one.
    assert len({json.dumps(named, sort_keys=True) for named in mixed}) == len(NAMES) - 1
    assert states[-1] == [0, new]
    assert len(states) > 20


def test_a_kill_while_contents_are_written_leaves_nothing_at_all(killed):
    place, states = killed
    with suppress(OSError):
        os.close(os.open(place, os.O_TMPFILE | os.O_WRONLY))
        # One open and one write for each file, then one fsync for each.
        for _, found in states[: 3 * len(NAMES)]:
            assert found == {name: data.decode() for name, data in OLD.items()}
