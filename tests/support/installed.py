"""Distributions of the checkout, built once a run, and environments to install them into."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]


def distributions(factory: pytest.TempPathFactory) -> Path:
    """A directory with a source distribution and the wheel built from it; all of xdist's workers share it."""
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent

    directory = root / "distributions"
    with (root / "distributions.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not directory.exists():
            partial = root / "distributions.partial"
            command = [sys.executable, "-m", "build", "--outdir", str(partial), str(CHECKOUT)]
            subprocess.run(command, check=True, capture_output=True)
            partial.rename(directory)

    return directory


def wheel(factory: pytest.TempPathFactory) -> Path:
    (path,) = distributions(factory).glob("*.whl")
    return path


def install(venv: Path, *what: object, interpreter: Path | str = sys.executable) -> Path:
    """A fresh environment with `what` in it; the directory of its programs."""
    subprocess.run([interpreter, "-m", "venv", "--without-pip", venv], check=True, capture_output=True)
    pip = [sys.executable, "-m", "pip", "--python", str(venv / "bin/python"), "install", "--quiet"]
    subprocess.run([*pip, *map(str, what)], check=True, capture_output=True)
    return venv / "bin"
