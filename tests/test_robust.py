"""Whatever happens to a build, its output is the old one, none, or the whole new one."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fuki_build.testing import succeed
from tests.conftest import RECIPE
from tests.support.workshop import lay_out

OUTPUT = "out/acme.efi"

SIGNAL_AT = """
import os, signal, sys
from fuki_build.cli.main import main

number, moment = signal.Signals[sys.argv[1]], int(sys.argv[2])
count = 0

def counted(real):
    def call(*arguments, **keywords):
        global count
        count += 1
        if count == moment:
            os.kill(os.getpid(), number)
        return real(*arguments, **keywords)
    return call

for name in ("open", "pread", "write", "fsync", "link", "rename", "close"):
    setattr(os, name, counted(getattr(os, name)))
sys.argv = ["fuki", *sys.argv[3:]]
try:
    main()
finally:
    print(count, file=sys.stderr)
"""
"""Runs the command line, and sends itself a signal right before a file operation, counted from 1."""


@pytest.fixture
def scratched(workshop: Path) -> Path:
    """The workshop with a folder for temporary files, and a recipe that names its output."""
    recipe = RECIPE + f'[[fuki.output]]\nformat = "uki"\npath = "{OUTPUT}"\n'
    return lay_out(workshop, files={"scratch/": ""}, recipe=recipe)


def signalled(scratched: Path, number: signal.Signals, moment: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SIGNAL_AT, number.name, str(moment), "build"],
        cwd=scratched,
        env={**os.environ, "TMPDIR": str(scratched / "scratch")},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def operations(scratched: Path) -> int:
    """The number of file operations of an undisturbed build."""
    done = signalled(scratched, signal.SIGKILL, 0)
    assert done.returncode == 0, done.stderr
    return int(done.stderr.splitlines()[-1])


def spread(last: int, count: int) -> list[int]:
    return sorted({1 + (last - 1) * i // (count - 1) for i in range(count)})


def written(scratched: Path) -> list[str]:
    return sorted(path.name for path in (scratched / "out").iterdir()) if (scratched / "out").exists() else []


class TestKilled:
    def test_a_large_build_killed_at_any_moment_leaves_the_old_image_and_nothing_else(self, scratched):
        os.truncate(scratched / "initrd.img", 200 * 1000**2)
        last = operations(scratched)
        assert last > 50
        (scratched / OUTPUT).write_text("old")
        for moment in spread(last - 20, 8):
            assert signalled(scratched, signal.SIGKILL, moment).returncode == -signal.SIGKILL
            assert written(scratched) == ["acme.efi"]
            assert (scratched / OUTPUT).read_text() == "old"

    def test_a_build_killed_at_any_moment_leaves_no_image_or_a_whole_one(self, scratched):
        last = operations(scratched)
        whole = (scratched / OUTPUT).read_bytes()
        seen = set()
        for moment in [*spread(last - 12, 6), *range(last - 11, last + 1)]:
            shutil.rmtree(scratched / "out")
            assert signalled(scratched, signal.SIGKILL, moment).returncode == -signal.SIGKILL
            seen.add(len(written(scratched)))
            assert written(scratched) in ([], ["acme.efi"])
            if written(scratched):
                assert (scratched / OUTPUT).read_bytes() == whole
            else:
                (scratched / "out").mkdir(exist_ok=True)

        assert seen == {0, 1}

    def test_a_build_killed_while_it_replaces_leaves_the_old_image_or_the_new_one(self, scratched):
        operations(scratched)
        whole = (scratched / OUTPUT).read_bytes()
        (scratched / OUTPUT).write_text("old")

        last = operations(scratched)
        seen = set()
        for moment in range(last - 16, last + 1):
            shutil.rmtree(scratched / "out")
            (scratched / "out").mkdir()
            (scratched / OUTPUT).write_bytes(b"old")
            assert signalled(scratched, signal.SIGKILL, moment).returncode == -signal.SIGKILL
            content = (scratched / OUTPUT).read_bytes()
            seen.add(content)
            assert content in (b"old", whole)
            # Between its two last steps the new image has a name of its own for a moment, whole.
            others = [name for name in written(scratched) if name != "acme.efi"]
            assert all((scratched / "out" / name).read_bytes() == whole for name in others)
            assert len(others) <= 1

        assert seen == {b"old", whole}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"])
class TestInterrupted:
    def test_a_build_that_is_interrupted_cleans_up(self, scratched, number, code):
        last = operations(scratched)
        for moment in [*spread(last - 16, 6), *range(last - 15, last - 9)]:
            shutil.rmtree(scratched / "out", ignore_errors=True)
            (scratched / "out").mkdir()
            (scratched / OUTPUT).write_bytes(b"old")
            done = signalled(scratched, number, moment)
            assert done.returncode == code, done.stderr
            assert "Traceback" not in done.stderr
            assert written(scratched) == ["acme.efi"]
            assert (scratched / OUTPUT).read_bytes() == b"old"
            assert not list((scratched / "scratch").iterdir())

    def test_a_program_that_makes_firmware_does_not_live_on(self, scratched, number, code):
        # More words than a pipe holds end only when fuki listens, and it is asleep when it waits for more of them.
        # Between the two stands the supervisor.
        listening = "head -c 200000 /dev/zero >&2; until grep -q State:.S /proc/$fuki/status; do :; done"
        fuki = "fuki=$(cut -d ' ' -f 4 /proc/$PPID/stat)"
        script = f"echo $$ > pid; {fuki}; {listening}; kill -{number.name[3:]} $fuki; exec sleep 20"
        (scratched / "fuki.toml").write_text(
            RECIPE + f'[[fuki.firmware]]\nsource = "command"\nid = "x"\ncommand = ["sh", "-c", "{script}"]\n'
        )
        assert signalled(scratched, number, 0).returncode == code
        assert not list((scratched / "scratch").iterdir())
        with pytest.raises(ProcessLookupError):
            os.kill(int((scratched / "pid").read_text()), 0)


def test_an_interrupted_build_says_so_in_one_line(scratched):
    done = signalled(scratched, signal.SIGINT, operations(scratched) // 2)
    assert [line for line in done.stderr.splitlines() if line and not line.isdigit()] == ["fuki: interrupted"]


def mount(directory: Path, options: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", directory], check=True)


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    directory = tmp_path / "disk"
    directory.mkdir()
    mount(directory, "size=1m")
    yield directory
    subprocess.run(["umount", directory], check=True)


class TestFullDisk:
    def test_a_full_disk_is_told_and_leaves_nothing(self, fuki, small_disk):
        done = fuki("build", "-o", small_disk / "a.efi", code=1)
        assert f"cannot write {small_disk}/a.efi: No space left on device" in done.stderr
        assert "free some space" in done.stderr
        assert list(small_disk.iterdir()) == []

    def test_a_full_disk_leaves_the_old_image(self, fuki, small_disk):
        (small_disk / "a.efi").write_text("old")
        fuki("build", "-o", small_disk / "a.efi", code=1)
        assert [path.name for path in small_disk.iterdir()] == ["a.efi"]
        assert (small_disk / "a.efi").read_text() == "old"

    def test_a_full_disk_for_one_output_leaves_all_unwritten(self, fuki, workshop, small_disk):
        (workshop / "fuki.toml").write_text(
            RECIPE + '[[fuki.output]]\nformat = "manifest"\npath = "m.json"\n'
            f'[[fuki.output]]\nformat = "uki"\npath = "{small_disk}/a.efi"\n'
        )
        fuki("build", code=1)
        assert not (workshop / "m.json").exists()
        assert list(small_disk.iterdir()) == []

    def test_a_full_scratch_disk_is_told(self, fuki, workshop, small_disk):
        (workshop / "packed").write_bytes(subprocess.check_output(["gzip", "-c", workshop / "vmlinuz"]))
        (workshop / "fuki.toml").write_text(RECIPE.replace('"vmlinuz"', '"packed"'))
        done = fuki("build", TMPDIR=str(small_disk), code=1)
        assert "No space left on device" in done.stderr
        assert "internal error" not in done.stderr
        assert list(small_disk.iterdir()) == []


def test_a_read_only_disk_is_told(fuki, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount(disk, "ro")
    try:
        done = fuki("build", "-o", disk / "a.efi", code=1)
    finally:
        subprocess.run(["umount", disk], check=True)
    assert f"cannot write {disk}/a.efi: Read-only file system" in done.stderr


def test_a_place_where_nothing_can_be_made_is_told(fuki):
    assert "cannot write /proc/nowhere/a.efi: " in fuki("build", "-o", "/proc/nowhere/a.efi", code=1).stderr


AS_NOBODY = """
import os, sys
from fuki_build.cli.main import run
os.chdir(sys.argv[1])
before = set(os.listdir())
with open(os.devnull, "w") as sys.stdout, open(os.devnull, "w") as sys.stderr:
    run(["build"])  # imports what this user cannot read later
sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
for name in set(os.listdir()) - before:
    os.unlink(name)
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
sys.exit(run(sys.argv[2:]))
"""
"""Runs the command line as a user without rights, in a directory."""


@pytest.fixture
def public(workshop) -> Iterator[Path]:
    """The workshop in a directory that every user can enter."""
    with tempfile.TemporaryDirectory(prefix="public-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        for path in workshop.iterdir():
            shutil.copyfile(path, directory / path.name)
        yield directory


@pytest.fixture
def nobody(public) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", AS_NOBODY, str(public), *arguments], capture_output=True, text=True, check=False
        )

    return run


def test_an_input_that_may_not_be_read_is_told(public, nobody):
    (public / "initrd.img").chmod(0)
    done = nobody("build")
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == (
        "fuki: error: fuki.image.initrd[0]: cannot open initrd.img: Permission denied"
    )


def test_a_recipe_that_may_not_be_read_is_told(public, nobody):
    (public / "fuki.toml").chmod(0)
    done = nobody("build")
    assert done.returncode == 2
    assert "cannot open fuki.toml: Permission denied" in done.stderr


def test_a_directory_that_may_not_be_written_is_told(public, nobody):
    done = nobody("build")
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "fuki: error: fuki.output: cannot write acme_41.3.efi: Permission denied"
    assert not list(public.glob("*.efi"))


def test_a_build_after_a_killed_one_succeeds(scratched):
    signalled(scratched, signal.SIGKILL, operations(scratched) - 1)
    succeed(scratched, "build")
