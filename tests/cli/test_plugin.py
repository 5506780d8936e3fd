"""The beginnings of plugins: which names they may have, and that nothing is overwritten. tests/walks installs them."""

import ast
import stat
import tomllib
from pathlib import Path

import pytest

from fuki_build.cli.plugin import KINDS
from fuki_build.recipe.text import template_directory
from fuki_build.scaffold import KINDS as DESCRIBED
from fuki_build.testing import invoke, refused, succeed


def test_the_command_line_offers_the_kinds_that_there_are():
    assert tuple(DESCRIBED) == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_a_distribution_says_what_it_is_everywhere(tmp_path: Path, kind: str):
    succeed(tmp_path, "plugin", "new", "acme-cloud", "--kind", kind, "--into", "new/place")
    directory = tmp_path / "new/place/fuki-acme-cloud"
    project = tomllib.loads((directory / "pyproject.toml").read_text())["project"]
    assert project["name"] == "fuki-acme-cloud"
    assert project["entry-points"]["fuki"] == {"acme-cloud": "fuki_acme_cloud"}
    assert stat.S_IMODE(directory.stat().st_mode) & 0o700 == 0o700

    files = {path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()}
    common = {"README.md", "fuki_acme_cloud/__init__.py", "fuki_acme_cloud/py.typed", "tests/test_acme_cloud.py"}
    assert common < files
    for path in directory.rglob("*.*"):
        if path.is_file():
            assert "{{" not in path.read_text()
            assert "{%" not in path.read_text()
    assert any("TODO" in path.read_text() for path in (directory / "fuki_acme_cloud").iterdir())


def test_every_template_is_used(tmp_path: Path):
    for kind in KINDS:
        succeed(tmp_path, "plugin", "new", f"x-{kind}", "--kind", kind)
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "py.typed"]
    templates = template_directory() / "plugin"
    specific = sum(1 for path in templates.rglob("*.j2") if path.parent.name != "common")
    common = sum(1 for path in (templates / "common").rglob("*.j2"))
    assert len(written) == specific + len(KINDS) * common


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "cannot name a plugin"),
        ("Acme", "cannot name a plugin"),
        ("../acme", "cannot name a plugin"),
        ("acme_cloud", "cannot name a plugin"),
        ("-acme", "cannot name a plugin"),
        ("acme-", "cannot name a plugin"),
        ("1acme", "cannot name a plugin"),
        ("acme\n", "cannot name a plugin"),
        ("a" * 41, "cannot name a plugin"),
        ("fuki-acme", "leave it out: the distribution will be fuki-acme"),
        ("gcp", "is the name of a plugin of fuki's"),
        ("oci", "gives something of the name 'oci' already"),
        ("build", "fuki-build is fuki itself"),
        ("qemu", "is the name of a plugin of fuki's"),
    ],
)
def test_a_name_that_cannot_be_a_plugin_s_is_refused(tmp_path: Path, name: str, problem: str):
    assert problem in refused(tmp_path, "plugin", "new", "--kind", "platform", "--", name)


ODD_NAMES = [(name, kind) for name in ("platform", "firmware", "key", "signing", "true") for kind in KINDS]


@pytest.mark.parametrize(("name", "kind"), [*ODD_NAMES, ("file", "signer"), ("launch", "launch")])
def test_no_class_has_the_name_of_one_that_is_imported(tmp_path: Path, name: str, kind: str):
    succeed(tmp_path, "plugin", "new", name, "--kind", kind)
    source = (tmp_path / f"fuki-{name}/fuki_{name}/__init__.py").read_text()
    nodes = list(ast.walk(ast.parse(source)))
    imported = {alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert not imported & {node.name for node in nodes if isinstance(node, ast.ClassDef)}


def test_a_name_that_is_taken_for_another_kind_is_free(tmp_path: Path):
    succeed(tmp_path, "plugin", "new", "oci", "--kind", "check")


def test_what_is_there_is_never_overwritten(tmp_path: Path):
    (tmp_path / "fuki-acme").mkdir()
    (tmp_path / "fuki-acme/notes.txt").write_text("mine")
    error = refused(tmp_path, "plugin", "new", "acme", "--kind", "check", code=1)
    assert "fuki-acme exists" in error


def test_a_file_of_that_name_is_never_overwritten(tmp_path: Path):
    (tmp_path / "fuki-acme").write_text("mine")
    refused(tmp_path, "plugin", "new", "acme", "--kind", "check", code=1)


@pytest.mark.parametrize("arguments", [("acme",), ("acme", "--kind", "verb"), ("--kind", "check")])
def test_what_is_missing_or_unknown_is_a_mistake_of_use(tmp_path: Path, arguments: tuple[str, ...]):
    outcome = invoke(tmp_path, "plugin", "new", *arguments)
    assert outcome.code == 2
    assert list(tmp_path.iterdir()) == []
