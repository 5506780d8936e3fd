"""The same recipe and inputs give the same bytes, wherever, whenever and by whomever they are built."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.installed import install, wheel
from tests.support.interpreters import SUPPORTED, VERSION, interpreter, others
from tests.support.rich import WRITTEN, make_rich, sha256


@pytest.fixture
def rich(workshop, part):
    return make_rich(workshop, part)


@pytest.fixture
def inputs(rich, tmp_path):
    """The recipe and all its inputs as plain files."""
    return copy(rich, tmp_path / "inputs")


def copy(source: Path, target: Path) -> Path:
    """A copy with new times, links followed."""
    target.mkdir(parents=True)
    for path in source.iterdir():
        if path.is_file():
            shutil.copyfile(path, target / path.name)
    return target


FUKI = (sys.executable, "-m", "fuki_build")


def run(directory: Path, *, program: tuple[str, ...] = FUKI, **environment: str) -> None:
    subprocess.run(
        [*program, "build"],
        cwd=directory,
        env={**os.environ, **environment},
        capture_output=True,
        check=True,
        stdin=subprocess.DEVNULL,
    )


def digests(directory: Path) -> dict[str, str]:
    return {name: sha256((directory / name).read_bytes()) for name in WRITTEN}


@pytest.fixture
def expected(inputs):
    run(inputs)
    return digests(inputs)


def test_a_second_build_is_the_same(inputs, expected):
    run(inputs)
    assert digests(inputs) == expected


def test_another_directory_and_other_file_times_change_nothing(inputs, expected, tmp_path):
    other = copy(inputs, tmp_path / "a much longer/way to/the recipe")
    for path in other.iterdir():
        os.utime(path, (1, 1))
    run(other)
    assert digests(other) == expected


def test_another_working_directory_changes_nothing(inputs, expected, tmp_path):
    other = copy(inputs, tmp_path / "other")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    run(elsewhere, program=(sys.executable, "-c", BUILD_AT, str(other)))
    assert digests(other) == expected
    absolute = copy(inputs, tmp_path / "absolute")
    run(Path("/"), program=(sys.executable, "-c", BUILD_AT, str(absolute / "fuki.toml")))
    assert digests(absolute) == expected


BUILD_AT = "import sys; from fuki_build.cli.main import run; sys.exit(run(['build', sys.argv[1]]))"


def test_another_scratch_directory_changes_nothing(inputs, expected, tmp_path):
    (tmp_path / "another scratch place").mkdir()
    run(inputs, TMPDIR=str(tmp_path / "another scratch place"))
    assert digests(inputs) == expected


@pytest.mark.parametrize(
    "environment",
    [
        {"TZ": "Pacific/Kiritimati"},
        {"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONHASHSEED": "0"},
        {"PYTHONHASHSEED": "4242"},
        {"SOURCE_DATE_EPOCH": "0"},
        {"PYTHONOPTIMIZE": "2"},
        {"HOME": "/nonexistent", "USER": "someone", "HOSTNAME": "elsewhere"},
    ],
    ids=lambda environment: next(iter(environment.items())),
)
def test_the_environment_changes_nothing(inputs, expected, environment):
    run(inputs, **environment)
    assert digests(inputs) == expected


def test_the_umask_changes_nothing_but_modes(inputs, expected):
    script = "import os, sys; os.umask(0o077); from fuki_build.cli.main import run; run(['build'])"
    run(inputs, program=(sys.executable, "-c", script))
    assert digests(inputs) == expected


def test_the_order_of_a_directory_changes_nothing(inputs, expected, tmp_path):
    """The same files, made in the other order."""
    other = tmp_path / "other"
    other.mkdir()
    for path in sorted(inputs.iterdir(), reverse=True):
        if path.is_file():
            shutil.copyfile(path, other / path.name)
    run(other)
    assert digests(other) == expected


# It may read what root may, such as an interpreter in root's home, and write nothing but its own.
AS_ANOTHER_USER = (
    *("setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"),
    *(
        "--inh-caps=-all,+dac_read_search",
        "--ambient-caps=-all,+dac_read_search",
        "--bounding-set=-all,+dac_read_search",
    ),
)


@pytest.fixture
def public(inputs) -> Iterator[Path]:
    """A copy in a directory that every user may write to."""
    with tempfile.TemporaryDirectory(prefix="public-") as name:
        directory = Path(name)
        for path in inputs.iterdir():
            if path.is_file():
                shutil.copyfile(path, directory / path.name)
        directory.chmod(0o777)
        yield directory


def test_another_user_changes_nothing(public, expected):
    run(public, program=(*AS_ANOTHER_USER, *FUKI), HOME="/nonexistent", USER="another")
    assert (public / WRITTEN[0]).stat().st_uid == 12345
    assert digests(public) == expected


def test_the_newest_python_and_another_one_are_among_those_that_build():
    assert SUPPORTED[-1] in (*others(), VERSION)
    assert others()


@pytest.mark.parametrize("version", others())
def test_another_python_version_changes_nothing(inputs, expected, tmp_path, tmp_path_factory, version):
    python = interpreter(version, tmp_path / "python")
    programs = install(tmp_path / "venv", wheel(tmp_path_factory), interpreter=python)
    script = "import sys; print('{}.{}'.format(*sys.version_info))"
    assert subprocess.check_output([programs / "python", "-c", script], text=True).strip() == version != VERSION
    run(inputs, program=(str(programs / "fuki"),), PYTHONPATH="")
    assert digests(inputs) == expected
