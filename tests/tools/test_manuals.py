"""Manual pages and completions: as the command line has them, fit for man and mandoc, and at work in real shells."""

import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path

import manuals
import pytest

from tests.support.installed import install, wheel

PAGES = sorted(manuals.SHARE.glob("man/man1/*.1"))
SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], ". {share}/bash-completion/completions/fuki"),
    "zsh": (
        ["zsh", "-f", "-i"],
        "fpath=({share}/zsh/site-functions $fpath); autoload -Uz compinit; compinit -u -d dump",
    ),
    "fish": (["fish", "--no-config", "-i"], "set -p fish_complete_path {share}/fish/vendor_completions.d"),
}


def test_the_files_are_as_the_command_line_has_them():
    assert not list(manuals.stale()), "run: python tests/docs/reference.py"


def test_every_verb_has_a_page():
    names = {path.stem for path in PAGES}
    assert {"fuki", "fuki-build", "fuki-keys-generate", "fuki-ukify"} <= names
    assert {f"fuki-{verb}" for verb in manuals.VERBS} <= names


def test_mandoc_has_nothing_to_say_of_them():
    done = subprocess.run(["mandoc", "-Tlint", *PAGES], capture_output=True, text=True, check=False)
    # A date would be that of whoever wrote the page anew last.
    complaints = [line for line in done.stdout.splitlines() if 'missing date, using ""' not in line]
    assert PAGES
    assert not complaints


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A fresh environment with the wheel."""
    directory = tmp_path_factory.mktemp("installed")
    install(directory, wheel(tmp_path_factory))
    return directory


@pytest.mark.parametrize("page", ["fuki", "fuki-sign", "fuki-keys-generate"])
def test_man_shows_the_installed_page(installed, page):
    environment = {**os.environ, "MANPATH": str(installed / "share/man"), "MANWIDTH": "80", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(["man", page], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shown = re.sub(r".\x08", "", done.stdout)
    words = page.replace("-", " ").replace("keys generate", "keys generate")
    assert f"{page.upper()}(1)" in shown.splitlines()[0]
    assert re.search(rf"SYNOPSIS\n +{words} ", shown)
    assert all(len(line) <= 80 for line in shown.splitlines())


def test_man_shows_the_options_of_the_help(installed):
    environment = {**os.environ, "MANPATH": str(installed / "share/man"), "MANWIDTH": "80", "LC_ALL": "C.UTF-8"}
    shown = subprocess.run(["man", "fuki-sign"], env=environment, capture_output=True, text=True, check=True).stdout
    told = subprocess.run([installed / "bin/fuki", "sign", "--help"], capture_output=True, text=True, check=True).stdout
    options = set(re.findall(r"(?m)^  .*?(--[a-z-]+)", told)) - {"--help"}
    assert len(options) > 5
    assert not {option for option in options if option not in re.sub(r".\x08", "", shown)}


@pytest.mark.parametrize("shell", SHELLS)
def test_the_shell_completes_a_verb_and_an_option(installed, shell, tmp_path):
    command, prepare = SHELLS[shell]
    keys = [prepare.format(share=installed / "share"), "fuki inspe\t--dig\t--help >out"]
    type_into(command, keys, tmp_path, installed / "bin", awaited=tmp_path / "out")
    assert (tmp_path / "out").read_text().startswith("Usage: fuki inspect")


def type_into(command: list[str], lines: list[str], directory: Path, programs: Path, awaited: Path) -> None:
    """Type lines into a shell on a terminal, until a file that only the shell makes has content."""
    path = os.pathsep.join((str(programs), os.environ["PATH"]))
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(directory)
        os.environ.update(PATH=path, TERM="xterm", HOME=str(directory), PS1="$ ")
        os.execvp(command[0], command)  # noqa: S606 - the shell itself
    try:
        said = b""
        os.set_blocking(terminal, False)
        for line in lines:
            said += quiet(terminal)
            for piece in re.split(r"(\t)", line):
                os.write(terminal, piece.encode())
                said += quiet(terminal)
            os.write(terminal, b"\r")
        deadline = time.monotonic() + 60
        while not (awaited.is_file() and awaited.read_text()) and time.monotonic() < deadline:
            said += quiet(terminal)
        assert awaited.is_file(), said.decode(errors="replace")
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(terminal)


def quiet(terminal: int, seconds: float = 2) -> bytes:
    """What the terminal says, until it has said nothing for a while: a program runs behind each tab."""
    said, last = b"", time.monotonic()
    while time.monotonic() - last < seconds:
        try:
            said += os.read(terminal, 4096)
            last = time.monotonic()
        except BlockingIOError:
            time.sleep(0.05)
        except OSError:
            break
    return said


def test_completions_know_the_verbs_of_plugins_as_well():
    environment = {**os.environ, "_FUKI_COMPLETE": "bash_complete", "COMP_WORDS": "fuki bo", "COMP_CWORD": "1"}
    command = [sys.executable, "-c", "from fuki_build.cli.main import main; main()"]
    assert complete(command, environment) == []
    assert complete(command, {**environment, "FUKI_PLUGINS": "qemu"}) == ["plain,boot"]


def complete(command: list[str], environment: dict[str, str]) -> list[str]:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.split()
