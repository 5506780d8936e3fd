"""`fuki integrate mkosi`: what it writes into a project, and what it leaves alone."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from fuki_build.testing import refused, succeed
from tests.support.interpreters import VERSION, interpreter, others

SECTION = "[Fuki]\nFirmware=source=directory path=firmware/ovmf-generic platforms=qemu:q35\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    directory = tmp_path / "project"
    directory.mkdir()
    (directory / "mkosi.conf").write_text(f"[Output]\nFormat=uki\n\n{SECTION}")
    return directory


def contents(directory: Path) -> Mapping[str, tuple[int, bytes]]:
    """All files and links below a directory, with the time of their last change."""
    return {
        str(path.relative_to(directory)): (
            path.lstat().st_mtime_ns,
            bytes(path.readlink()) if path.is_symlink() else path.read_bytes(),
        )
        for path in directory.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def test_it_says_what_it_writes_and_writes_nothing_the_second_time(project):
    assert succeed(project, "integrate", "mkosi").err.splitlines() == [
        "wrote mkosi.fuki",
        "wrote mkosi.conf.d/50-fuki.conf",
    ]
    first = contents(project)
    assert succeed(project, "integrate", "mkosi").err.splitlines() == [". has all of it already"]
    assert contents(project) == first

    # What an update of fuki changes is written again, and nothing else.
    library = project / "mkosi.fuki/lib/fuki_build"
    (library / "errors.py").write_text("of an older release\n")
    (library / "old.py").write_text("of an older release\n")
    (project / "mkosi.fuki/.gitignore").write_text("*\n")
    outcome = succeed(project.parent, "integrate", "mkosi", project)
    assert outcome.err.splitlines() == [f"wrote {project / 'mkosi.fuki'}"]
    assert {name: data for name, (_, data) in contents(project).items() if name != "mkosi.fuki/.gitignore"} == {
        name: data for name, (_, data) in first.items()
    }
    assert (project / "mkosi.fuki/.gitignore").read_text() == "*\n"


def test_a_project_without_mkosi_conf_is_one_with_its_directory_of_files(project):
    (project / "mkosi.conf.d").mkdir()
    (project / "mkosi.conf").rename(project / "mkosi.conf.d/10-image.conf")
    succeed(project, "integrate", "mkosi")
    assert "no mkosi.conf" in refused(project.parent, "integrate", "mkosi", code=2)


def _other_program(project: Path) -> str:
    (project / "mkosi.fuki").mkdir()
    (project / "mkosi.fuki/ukify").write_text("#!/usr/bin/env python3\nprint('mine')\n")
    return "mkosi.fuki/ukify"


def _other_library(project: Path) -> str:
    (project / "mkosi.fuki/lib").mkdir(parents=True)
    (project / "mkosi.fuki/lib/mine.py").write_text("")
    return "mkosi.fuki/lib"


def _link(project: Path) -> str:
    (project.parent / "elsewhere").mkdir()
    (project / "mkosi.fuki").symlink_to(project.parent / "elsewhere")
    return "mkosi.fuki"


def _other_settings(project: Path) -> str:
    (project / "mkosi.conf.d").mkdir()
    (project / "mkosi.conf.d/50-fuki.conf").write_text("[Build]\nWithNetwork=yes\n")
    return "mkosi.conf.d/50-fuki.conf"


def _changed_settings(project: Path) -> str:
    succeed(project, "integrate", "mkosi")
    shutil.rmtree(project / "mkosi.fuki")
    with (project / "mkosi.conf.d/50-fuki.conf").open("a") as file:
        file.write("WithNetwork=yes\n")
    return "mkosi.conf.d/50-fuki.conf"


@pytest.mark.parametrize("lay_out", [_other_program, _other_library, _link, _other_settings, _changed_settings])
def test_files_of_others_stay_and_are_named(project, lay_out):
    name = lay_out(project)
    before = contents(project.parent)
    assert name in refused(project, "integrate", "mkosi", code=2)
    assert contents(project.parent) == before
    assert (project / "mkosi.fuki").exists() == name.startswith("mkosi.fuki")


@pytest.mark.parametrize(
    "name",
    [
        *("mkosi.local.conf", "mkosi.conf.d/20-more/mkosi.conf", "mkosi.profiles/debug.conf"),
        *("mkosi.profiles/debug/mkosi.conf", "mkosi.images/initrd/mkosi.conf", "mkosi.images/initrd.conf"),
    ],
)
def test_a_section_where_it_holds_for_a_part_of_the_project_is_refused(project, name):
    (project / name).parent.mkdir(parents=True, exist_ok=True)
    (project / name).write_text(SECTION)
    for verb in (("integrate", "mkosi"), ("plan",)):
        error = refused(project, *verb, code=2)
        assert name in error
        assert "[Fuki]" in error


def test_versions_of_python_that_fuki_is_not_for_are_refused(project):
    for version in ("3.10", "4.0", "3", "3.11.7", "python3.12"):
        assert "--python" in refused(project, "integrate", "mkosi", "--python", version, code=2)
    assert not (project / "mkosi.fuki").exists()


def test_nothing_is_written_when_pip_has_nothing_for_a_version_of_python(project, monkeypatch):
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    other = others()[0]
    error = refused(project, "integrate", "mkosi", "--python", other, code=1)
    assert f"for Python {other}" in error
    assert sorted(path.name for path in project.iterdir()) == ["mkosi.conf"]


def test_the_library_for_another_python_is_run_by_that(project, tmp_path):
    version = others()[-1]
    succeed(project, "integrate", "mkosi", "--python", version)
    python = interpreter(version, tmp_path / "python")
    probe = f"import sys; sys.path.insert(0, {str(project / 'mkosi.fuki/lib')!r}); import msgspec, OpenSSL.SSL"
    for arguments in ((project / "mkosi.fuki/ukify", "build", "--help"), ("-c", probe)):
        done = subprocess.run([python, "-I", *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    # The Python that wrote it says which one would have to.
    done = subprocess.run([sys.executable, project / "mkosi.fuki/ukify"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"--python={VERSION}" in done.stderr
