"""The test kit: recipes, and commands that are refused."""

import doctest
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fuki_build.testing import command, partial_recipe, platforms, recipe, recipes, refused


@pytest.mark.parametrize("module", [platforms, recipes])
def test_the_examples_of_the_kit_hold(module: ModuleType):
    results = doctest.testmod(module)
    assert results.attempted > 0
    assert results.failed == 0


def test_a_recipe_is_toml_that_says_what_was_asked_for(tmp_path: Path):
    image: dict[str, Any] = {
        "cmdline": 'a="b" \\ \t',
        "sbat": ["acme,1"],
        "initrd": [tmp_path / "initrd"],
    }
    text = recipe(
        '[[fuki.profile]]\nid = "debug"', version="41", plugins=["aws"], silence=["uname"], os_release=None, **image
    )
    assert tomllib.loads(text)["fuki"] == {
        "name": "acme",
        "version": "41",
        "plugins": ["aws"],
        "silence": ["uname"],
        "image": {
            "stub": "stub",
            "linux": "vmlinuz",
            "cmdline": 'a="b" \\ \t',
            "sbat": ["acme,1"],
            "initrd": [str(tmp_path / "initrd")],
        },
        "profile": [{"id": "debug"}],
    }


def test_a_partial_recipe_says_nothing_that_was_not_asked_for():
    assert tomllib.loads(partial_recipe()) == {"fuki": {}}
    text = partial_recipe('[[fuki.addon]]\nname = "a"', environment=["HOME"], sections={".note": {"text": "\x7f"}})
    assert tomllib.loads(text)["fuki"] == {
        "environment": ["HOME"],
        "image": {"sections": {".note": {"text": "\x7f"}}},
        "addon": [{"name": "a"}],
    }


def test_a_command_that_is_refused_but_leaves_a_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def run(_: object) -> int:
        Path("left").touch()
        sys.stderr.write("fuki: error: no\n")
        return 2

    monkeypatch.setattr(command, "run", run)
    with pytest.raises(AssertionError, match="files were written"):
        refused(tmp_path, "build")


@pytest.mark.parametrize(
    ("code", "text"), [(2, ""), (1, "error: x"), (2, "error: x\nerror: y"), (2, "error: Traceback")]
)
def test_a_command_that_is_refused_in_another_way_is_told(
    code: int, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(command, "run", lambda _: [code, sys.stderr.write(text)][0])
    with pytest.raises(AssertionError):
        refused(tmp_path, "build")


def test_the_kit_needs_no_pytest():
    script = "import sys, fuki_build.testing; sys.exit('pytest' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)
