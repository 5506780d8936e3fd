"""Other Python interpreters that fuki supports: this machine's, and where it has none, Debian's."""

import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import known_parts
import parts

SUPPORTED = ("3.11", "3.12", "3.13", "3.14")
VERSION = "{}.{}".format(*sys.version_info)
"""The running one's."""


@cache
def others() -> tuple[str, ...]:
    """The supported versions that can be had here, without the running one; downloads none yet."""
    return tuple(v for v in SUPPORTED if v != VERSION and (_part(v) in known_parts.ALL or _installed(v)))


def interpreter(version: str, directory: Path) -> Path:
    """An interpreter of a version among `others`; one out of a package gets its programs in `directory`."""
    return _installed(version) or _unpacked(version, directory)


def _part(version: str) -> str:
    return f"python-{version}"


@cache
def _installed(version: str) -> Path | None:
    name = f"python{version}"
    places = [
        *sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/{name}")),
        *sorted(Path.home().glob(f".local/share/uv/python/cpython-{version}.*/bin/{name}")),
        Path(shutil.which(name) or "/nonexistent"),
    ]
    return next((path for path in places if _is(path, version)), None)


def _is(path: Path, version: str) -> bool:
    """Whether it runs: pyenv's shims are there for versions that are not."""
    script = f"import sys, venv; sys.exit('{{}}.{{}}'.format(*sys.version_info) != '{version}')"
    try:
        return subprocess.run([path, "-c", script], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _unpacked(version: str, directory: Path) -> Path:
    """A script in the place of the program, which may need a newer libc than the machine's.

    Python finds its library by the path that it was started by, a virtual environment's links to the script included.
    """
    program = parts.get(_part(version))
    root = program.parents[2]
    (libc,) = root.glob("usr/lib/*/libc.so.6")
    loader = f"{libc.parent}/ld-linux-x86-64.so.2"

    path = directory / "bin" / program.name
    path.parent.mkdir(parents=True)
    path.write_text(f'#!/bin/sh\nexec {loader} --argv0 "$0" --library-path {libc.parent} {program} "$@"\n')
    path.chmod(0o755)
    # A copy, as Python compiles what it imports where it lies.
    shutil.copytree(root / f"usr/lib/python{version}", directory / f"lib/python{version}", symlinks=True)
    return path
