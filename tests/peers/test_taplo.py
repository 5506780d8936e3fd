"""Editors check a recipe that 'fuki init' wrote by the schema that its first line names: taplo, which they run."""

import subprocess
import sys
from pathlib import Path

import pytest

from fuki_build.testing import succeed

TAPLO = Path(sys.executable).with_name("taplo")


@pytest.fixture
def recipe(tmp_path) -> Path:
    succeed(tmp_path, "init", "project", "--name", "acme")
    return tmp_path / "project/fuki.toml"


def lint(recipe: Path) -> subprocess.CompletedProcess[str]:
    """From elsewhere: the schema's path is relative to the recipe, and no configuration leads to it."""
    command = [str(TAPLO), "lint", str(recipe)]
    environment = {"RUST_LOG": "debug", "HOME": str(recipe.parent)}
    return subprocess.run(command, cwd=recipe.parents[1], env=environment, capture_output=True, text=True, check=False)


def test_an_editor_finds_the_schema_and_accepts_the_recipe(recipe):
    done = lint(recipe)
    assert done.returncode == 0, done.stderr
    assert f"using schema schema.url=file://{recipe.parent}/fuki.schema.json" in done.stderr
    assert 'schema.source="directive"' in done.stderr


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('comandline = "quiet"', "'comandline' was unexpected"),
        ("cmdline = 5", "5 is not valid"),
        ('firmware = "ovmf"', "'firmware' was unexpected"),
    ],
)
def test_an_editor_marks_what_fuki_refuses(recipe, line, complaint):
    text = recipe.read_text()
    assert 'cmdline = "root=LABEL=root ro"\n' in text
    recipe.write_text(text.replace('cmdline = "root=LABEL=root ro"\n', f"{line}\n"))
    done = lint(recipe)
    assert done.returncode == 1
    assert complaint in done.stderr


def test_the_schema_has_the_plugins_that_are_named(tmp_path):
    for name, plugins in (("plain", ()), ("with", ("--plugin", "hand-over"))):
        succeed(tmp_path, *plugins, "init", name)
        recipe = tmp_path / name / "fuki.toml"
        recipe.write_text(recipe.read_text() + '[fuki.hand-over]\ninterface = "vm-launch-update"\n')
    assert lint(tmp_path / "plain/fuki.toml").returncode == 1
    assert lint(tmp_path / "with/fuki.toml").returncode == 0
