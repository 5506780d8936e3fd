"""What is installed works outside the checkout: from a wheel, from a source distribution, and editable."""

import os
import re
import subprocess
import tarfile
import tomllib
import zipfile
from email.parser import BytesParser
from pathlib import Path
from xml.etree import ElementTree as ET

import parts
import pytest

from tests.support.installed import CHECKOUT, distributions, install, wheel

PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
TEMPLATES = sorted(path.relative_to(CHECKOUT).as_posix() for path in (CHECKOUT / "templates").rglob("*.j2"))


@pytest.fixture(scope="module")
def archives(tmp_path_factory) -> Path:
    """A source distribution, and the wheel that is built from it."""
    return distributions(tmp_path_factory)


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> Path:
    return wheel(tmp_path_factory)


@pytest.fixture(scope="module")
def names(packed) -> set[str]:
    """What the wheel holds."""
    with zipfile.ZipFile(packed) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def metadata(packed) -> dict[str, bytes]:
    with zipfile.ZipFile(packed) as archive:
        return {Path(n).name: archive.read(n) for n in archive.namelist() if ".dist-info/" in n}


def run(*command: object, cwd: Path) -> str:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def use(programs: Path, workshop: Path, elsewhere: Path) -> None:
    """What a user does first, away from the checkout."""
    elsewhere.mkdir()
    assert run(programs / "fuki", "--version", cwd=elsewhere).startswith("fuki, version ")
    run(programs / "fuki", "init", "--name", "first", cwd=elsewhere)
    assert 'name = "first"' in (elsewhere / "fuki.toml").read_text()
    root = ET.fromstring(run(programs / "fuki", "plan", "--svg", workshop, cwd=elsewhere))  # noqa: S314 - our own
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "</html>" in run(programs / "fuki", "plan", "--html", workshop, cwd=elsewhere)
    run(programs / "fuki", "build", workshop, "-o", "a.efi", cwd=elsewhere)
    assert "root=LABEL=root ro" in run(programs / "fuki", "inspect", "a.efi", cwd=elsewhere)
    assert run(programs / "python", "-m", "fuki_build", "build", "--help", cwd=elsewhere).startswith(
        "Usage: fuki build"
    )


def test_an_installed_wheel_works_outside_the_checkout(packed, workshop, tmp_path):
    programs = install(tmp_path / "venv", packed)
    where = run(programs / "python", "-c", "import fuki_build; print(fuki_build.__file__)", cwd=tmp_path)
    assert Path(where).is_relative_to(tmp_path / "venv")
    use(programs, workshop, tmp_path / "elsewhere")


def test_an_installed_wheel_has_kernel_install_s_plugin_where_that_looks_and_it_finds_its_library(packed, tmp_path):
    programs = install(tmp_path / "venv", packed)
    plugin = tmp_path / "venv/lib/kernel/install.d/60-fuki.install"
    assert os.access(plugin, os.X_OK)
    # kernel-install runs it without a virtual environment; here, its python3 is that of the one with the wheel.
    environment = {
        "PATH": f"{programs}:/usr/bin:/bin",
        "KERNEL_INSTALL_LAYOUT": "uki",
        "KERNEL_INSTALL_UKI_GENERATOR": "fuki",
        "KERNEL_INSTALL_MACHINE_ID": "8f2d1f0e6d8a4ff7a1b2c3d4e5f60718",
        "KERNEL_INSTALL_ENTRY_TOKEN": "acme",
        "KERNEL_INSTALL_CONF_ROOT": str(tmp_path),
        "KERNEL_INSTALL_BOOT_STUB": str(parts.get("stub-x64")),
        "KERNEL_INSTALL_STAGING_AREA": str(tmp_path),
    }
    command = [plugin, "add", "6.12", tmp_path, parts.get("kernel-x64")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert b"6.12" in (tmp_path / "uki.efi").read_bytes()


def test_an_editable_install_works_outside_the_checkout(workshop, tmp_path):
    programs = install(tmp_path / "venv", "--editable", CHECKOUT)
    where = run(programs / "python", "-c", "import fuki_build; print(fuki_build.__file__)", cwd=tmp_path)
    assert Path(where.strip()) == CHECKOUT / "fuki_build/__init__.py"
    use(programs, workshop, tmp_path / "elsewhere")


class TestWheel:
    def test_every_template_is_in_it(self, names):
        assert TEMPLATES
        assert {f"fuki_build/{name}" for name in TEMPLATES} <= names

    def test_every_module_is_in_it_and_nothing_else(self, names):
        modules = {path.relative_to(CHECKOUT).as_posix() for path in (CHECKOUT / "fuki_build").rglob("*.py")}
        packaged = {name for name in names if ".dist-info/" not in name and ".data/" not in name}
        others = {"fuki_build/py.typed", "fuki_build/integrate/60-fuki.install"}
        assert packaged == modules | {f"fuki_build/{name}" for name in TEMPLATES} | others

    def test_the_command_and_pipx_run_have_entry_points(self, metadata):
        lines = metadata["entry_points.txt"].decode().splitlines()
        assert lines[lines.index("[console_scripts]") + 1] == "fuki = fuki_build.cli.main:main"
        assert lines[lines.index("[pipx.run]") + 1] == "fuki-build = fuki_build.cli.main:main"

    def test_the_metadata_say_what_the_project_says(self, metadata):
        message = BytesParser().parsebytes(metadata["METADATA"])
        assert message["Name"] == "fuki-build"
        assert message["License-Expression"] == "Apache-2.0"
        assert message["Requires-Python"].replace(" ", "") in ("<3.15,>=3.11", ">=3.11,<3.15")
        required = {line.split(";")[0].strip() for line in message.get_all("Requires-Dist", []) if "extra" not in line}
        assert required == {dependency.replace(" ", "") for dependency in PROJECT["dependencies"]}

    def test_the_licence_is_in_it(self, metadata):
        assert metadata["LICENSE"] == (CHECKOUT / "LICENSE").read_bytes()


def test_the_source_distribution_has_what_its_tests_and_demo_need(archives):
    (path,) = archives.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    needed = (
        "pyproject.toml",
        "Makefile",
        "README.md",
        "LICENSE",
        "conftest.py",
        "tests/conftest.py",
        "tools/parts.py",
    )
    assert {*needed, *TEMPLATES, "examples/quickstart/fuki.toml", "fuki_build/py.typed"} <= names
    # Programs that plugins ship are sources of a kind: what builds them is beside them, and a test repeats it.
    others = [name for name in names if not re.match(r"plugins/[\w-]+/\w+/programs/", name)]
    assert not [name for name in others if name.endswith((".efi", ".pyc")) or "/parts/" in name]
