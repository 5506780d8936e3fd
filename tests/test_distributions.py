"""Each distribution, the core and the plugins: what registries show, what it asks for, and that it can be repeated."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import sbom

from tests.support.installed import CHECKOUT, distributions, wheel

FOLDERS = {path.parent.name: path.parent for path in CHECKOUT.glob("plugins/*/pyproject.toml")} | {
    "fuki-build": CHECKOUT
}
SOURCE = "https://fuki.example/source/"
LINK = re.compile(r"\]\(([^)\s]+)\)")


def metadata(folder: Path) -> Mapping[str, Any]:
    """What a package of this folder would say of itself."""
    done = subprocess.run([sys.executable, "-m", "hatchling", "metadata"], cwd=folder, check=True, capture_output=True)
    table: Mapping[str, Any] = json.loads(done.stdout)
    return table


@pytest.mark.parametrize("name", FOLDERS)
class TestMetadata:
    def test_it_tells_who_made_it_and_where_it_lives(self, name):
        table = metadata(FOLDERS[name])
        assert table["name"] == name
        assert table["authors"] == [{"name": "The fuki authors"}]
        assert table["license"] == "Apache-2.0"
        assert set(table["urls"]) == {"Homepage", "Documentation", "Source", "Changelog"}
        folder = FOLDERS[name].relative_to(CHECKOUT).as_posix()
        assert table["urls"]["Source"] == SOURCE + ("" if folder == "." else folder)
        assert "Typing :: Typed" in table["classifiers"]

    def test_its_page_has_absolute_links_that_lead_to_files_here(self, name):
        links = LINK.findall(re.sub(r"(?ms)^```.*?^```$", "", metadata(FOLDERS[name])["readme"]["text"]))
        for link in links:
            assert link.startswith(("https://", "#")), link
            if link.startswith(SOURCE):
                assert (CHECKOUT / link.removeprefix(SOURCE).partition("#")[0]).exists(), link

    def test_every_import_is_of_something_that_it_asks_for(self, name):
        package = "fuki_build" if name == "fuki-build" else name.replace("-", "_")
        command = [sys.executable, "-m", "deptry", package, "--no-ansi", "--known-first-party", package]
        # What is run as a program, or loaded where it is there, is not imported by name; what an extra has is no
        # dependency of development, though a group names it as well.
        command += ["--ignore", "DEP002", "--per-rule-ignores", "DEP004=jsonschema|sevsnpmeasure"]
        done = subprocess.run(command, cwd=FOLDERS[name], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_all_packages_have_one_version():
    assert {metadata(folder)["version"] for folder in FOLDERS.values()} == {version("fuki-build")}


def test_what_tests_of_plugins_need_is_an_extra():
    extra = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["testing"]
    assert {re.split("[<>=]", requirement)[0] for requirement in extra} == {"jsonschema", "sev-snp-measure"}


def test_registries_show_the_pages(tmp_path_factory):
    archives = list(distributions(tmp_path_factory).iterdir())
    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, archives)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("PASSED") == 2


def test_the_plugins_are_in_the_source_distribution(tmp_path_factory):
    (path,) = distributions(tmp_path_factory).glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    command = ["git", "ls-files", "plugins", "share"]
    tracked = subprocess.run(command, cwd=CHECKOUT, check=False, capture_output=True, text=True)
    expected = set(tracked.stdout.splitlines()) or {f"plugins/{n}/pyproject.toml" for n in FOLDERS if n != "fuki-build"}
    assert len(expected) > 14
    assert expected <= names


def test_a_wheel_is_the_same_wherever_and_whenever_it_is_built(tmp_path):
    contents = []
    for number, mask in enumerate((0o022, 0o077)):
        copy = tmp_path / f"checkout {number}"
        ignored = shutil.ignore_patterns(".*", "__pycache__", "parts", "out", "tests", "docs", "plugins", "examples")
        shutil.copytree(CHECKOUT, copy, ignore=ignored)
        for path in copy.rglob("*"):
            os.utime(path, (10**9 + number * 10**8,) * 2)
            path.chmod(path.stat().st_mode & ~mask)
        environment = {key: value for key, value in os.environ.items() if key != "SOURCE_DATE_EPOCH"}
        command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path / f"{number}")]
        subprocess.run(
            [*command, str(copy)],
            check=True,
            capture_output=True,
            env={**environment, "TZ": ("UTC", "Asia/Tokyo")[number]},
            umask=mask,
        )
        (built,) = (tmp_path / f"{number}").glob("*.whl")
        contents.append(built.read_bytes())
    assert contents[0] == contents[1]


def test_pipx_installs_the_command_and_takes_plugins_in(tmp_path, tmp_path_factory):
    environment = {
        **os.environ,
        "PIPX_HOME": str(tmp_path / "home"),
        "PIPX_BIN_DIR": str(tmp_path / "bin"),
        "PIPX_MAN_DIR": str(tmp_path / "man"),
        "PIPX_COMPLETION_DIR": str(tmp_path / "completions"),
    }

    def run(*command: object) -> str:
        done = subprocess.run(
            list(map(str, command)), cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    pipx = (sys.executable, "-m", "pipx")
    run(*pipx, "install", wheel(tmp_path_factory))
    fuki = tmp_path / "bin/fuki"
    assert not re.search(r"(?m)^gcp ", run(fuki, "plugins"))
    # As from any directory: a checkout's plugins are directories, and ask for the core that is installed.
    run(*pipx, "inject", "fuki-build", CHECKOUT / "plugins/fuki-gcp", CHECKOUT / "plugins/fuki-attest")
    assert {"gcp", "attest"} <= {line.split()[0] for line in run(fuki, "plugins").splitlines() if line}
    assert "Usage: fuki attest verify" in run(fuki, "--plugin", "attest", "attest", "verify", "--help")
    assert (tmp_path / "man/man1/fuki.1").exists()


@pytest.fixture(scope="module")
def bills(tmp_path_factory) -> list[bytes]:
    """Two of one environment."""
    directory = tmp_path_factory.mktemp("sbom")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", directory / "venv"], check=True)
    python = directory / "venv/bin/python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet"]
    subprocess.run([*pip, wheel(tmp_path_factory)], check=True, capture_output=True)
    for name in ("one", "other"):
        # It raises for what CycloneDX's own schema refuses.
        sbom.write_sbom(directory / name, python)
    installed = subprocess.run([*pip[:-2], "list", "--format=json"], check=True, capture_output=True).stdout
    return [(directory / "one").read_bytes(), (directory / "other").read_bytes(), installed]


class TestBillOfMaterials:
    def test_it_tells_of_all_that_is_installed_and_of_nothing_else(self, bills):
        document, installed = json.loads(bills[0]), json.loads(bills[2])
        told = {(component["name"], component["version"]) for component in document["components"]}
        root = document["metadata"]["component"]
        assert (root["name"], root["version"]) == ("fuki-build", version("fuki-build"))
        assert told | {("fuki-build", root["version"])} == {(item["name"], item["version"]) for item in installed}

    def test_it_tells_what_asks_for_what(self, bills):
        document = json.loads(bills[0])
        required = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["dependencies"]
        names = {re.split("[<>=]", requirement)[0].lower() for requirement in required}
        edges = {edge["ref"]: edge.get("dependsOn", []) for edge in document["dependencies"]}
        assert {reference.partition("==")[0].lower() for reference in edges["root-component"]} == names

    def test_it_is_the_same_each_time(self, bills):
        assert bills[0] == bills[1]


def test_the_wheel_has_the_manual_pages_and_completions(tmp_path_factory):
    with zipfile.ZipFile(wheel(tmp_path_factory)) as archive:
        names = {name.partition(".data/data/")[2] for name in archive.namelist() if ".data/data/" in name}
    expected = {path.relative_to(CHECKOUT).as_posix() for path in (CHECKOUT / "share").rglob("*") if path.is_file()}
    assert len(expected) > 40
    assert expected <= names
