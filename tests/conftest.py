"""What all tests share: real parts, a directory with a recipe of them, and the command line."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import parts
import pytest

from tests.support.workshop import BASE, lay_out, workshop_recipe

Fuki = Callable[..., subprocess.CompletedProcess[str]]

RECIPE = workshop_recipe()


@pytest.fixture(scope="session")
def part() -> Callable[[str], Path]:
    """`part("stub-x64")` is the path of a real one; names are those of tools/known_parts.py."""
    return parts.get


@pytest.fixture
def workshop(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A directory with a recipe (`RECIPE`) and real parts: stub, vmlinuz, initrd.img, os-release.

    A mark `pytest.mark.workshop(real={…}, files={…}, recipe=…)` of a test or module adds what `lay_out` takes.
    """
    directory = tmp_path / "workshop"
    directory.mkdir()
    lay_out(directory, real=BASE, recipe=RECIPE)
    (directory / "initrd.img").write_bytes(parts.initrd({"init": b"#!/bin/sh\n"}))
    (directory / "os-release").write_text('ID=acme\nPRETTY_NAME="Acme 41"\n')

    # The nearest mark comes first, and has the last word.
    for mark in reversed(list(request.node.iter_markers("workshop"))):
        lay_out(directory, **mark.kwargs)
    return directory


@pytest.fixture
def fuki(workshop: Path) -> Fuki:
    """Run the command line in the workshop; `code` is the exit code to expect."""

    def run(*arguments: object, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "fuki_build", *map(str, arguments)],
            cwd=workshop,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run
