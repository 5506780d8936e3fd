"""Other Python interpreters of this machine that fuki supports."""

import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

SUPPORTED = ((3, 11), (3, 12), (3, 13))


@cache
def others() -> tuple[Path, ...]:
    """One interpreter of each supported version but the running one."""
    found = (_find(*version) for version in SUPPORTED if version != sys.version_info[:2])
    return tuple(path for path in found if path)


def _find(major: int, minor: int) -> Path | None:
    name = f"python{major}.{minor}"
    places = [
        *sorted(Path.home().glob(f".pyenv/versions/{major}.{minor}.*/bin/{name}")),
        *sorted(Path.home().glob(f".local/share/uv/python/cpython-{major}.{minor}.*/bin/{name}")),
        Path(shutil.which(name) or "/nonexistent"),
    ]
    return next((path for path in places if _is(path, major, minor)), None)


def _is(path: Path, major: int, minor: int) -> bool:
    """Whether it runs: pyenv's shims are there for versions that are not."""
    script = f"import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != ({major}, {minor}))"
    try:
        return subprocess.run([path, "-c", script], capture_output=True, check=False).returncode == 0
    except OSError:
        return False
