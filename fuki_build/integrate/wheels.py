"""What a distribution is for another version of Python: its wheel of the same version, as pip has it."""

import re
import sys
import tempfile
import zipfile
from importlib import metadata
from pathlib import Path

from fuki_build import programs
from fuki_build.errors import FukiError, RecipeError

Version = tuple[int, int]
"""Major and minor version of Python."""

RUNNING: Version = (sys.version_info[0], sys.version_info[1])
_BOUND = re.compile(r"(>=|<)\s*(\d+)\.(\d+)")
_TIMEOUT = 600.0
_VARIABLES = (
    *("PIP_CONFIG_FILE", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_CERT"),
    *("PIP_TRUSTED_HOST", "PIP_CONSTRAINT", "PIP_CACHE_DIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "TMPDIR"),
    *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE"),
)
"""What pip takes from the environment: where packages are, and how to get there."""


def read_version(text: str) -> Version:
    """A version as `3.13`. Raises `RecipeError` for what is none, or none that fuki is for."""
    match = re.fullmatch(r"(\d)\.(\d{1,3})", text)
    if match is None:
        raise RecipeError(f"{text!r} is no version of Python", where="--python", hint="write it as 3.13")
    version = (int(match[1]), int(match[2]))
    requirement = metadata.metadata("fuki-build")["Requires-Python"] or ""
    for bound, major, minor in _BOUND.findall(requirement):
        limit = (int(major), int(minor))
        if version < limit if bound == ">=" else version >= limit:
            raise RecipeError(f"fuki is not for Python {text}, but for {requirement}", where="--python")
    return version


def is_for_one_version(distribution: metadata.Distribution) -> bool:
    """Whether it has compiled modules that other versions of Python cannot load."""
    names = (file.name for file in distribution.files or ())
    return any(name.endswith(".so") and ".abi3." not in name for name in names)


def unpack_wheel(distribution: metadata.Distribution, version: Version, library: Path) -> None:
    """Let pip download the wheel of a distribution for a version of Python, and unpack it. Raises `FukiError`."""
    requirement = f"{distribution.name}=={distribution.version}"
    python = ".".join(map(str, version))
    with tempfile.TemporaryDirectory(prefix="fuki-wheels-") as place:
        command = [
            *(sys.executable, "-m", "pip", "--quiet", "--no-input", "--disable-pip-version-check", "download"),
            *("--no-deps", "--only-binary=:all:", f"--python-version={python}", f"--dest={place}", requirement),
        ]
        done = programs.run(command, environment=programs.environment(*_VARIABLES), timeout=_TIMEOUT)
        wheels = sorted(Path(place).glob("*.whl"))
        if done.code or len(wheels) != 1:
            hint = f"or run 'fuki integrate' with Python {python}: then nothing is downloaded"
            problem = f"pip has no {requirement} for Python {python}: {done.last_lines() or done.how}"
            raise FukiError(problem, where="--python", hint=hint)
        with zipfile.ZipFile(wheels[0]) as wheel:
            wheel.extractall(library)
