"""Plugins are the model that others copy: their tests import nothing that a plugin from elsewhere does not have."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from fuki_build.cli.plugin import KINDS
from fuki_build.testing import succeed

PLUGINS = Path(__file__).parents[2] / "plugins"
MODULES = sorted(path.relative_to(PLUGINS).as_posix() for path in PLUGINS.glob("*/tests/**/*.py"))
PUBLIC = ("errors", "formats", "hooks", "network", "programs", "testing")
INSIDE = {
    # Holds the program, which does in the guest what the stub will, against the model of the stub.
    "fuki-hand-over/tests/test_selection.py": {
        "fuki_build.image.firmware",
        "fuki_build.image.selection",
        "fuki_build.image.stub",
    },
}


def imported(source: str) -> Iterator[str]:
    """The modules that a module imports, anywhere in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def private(modules: Iterator[str]) -> set[str]:
    """Those of this checkout's modules that are not public."""
    names = set()
    for module in modules:
        package, _, rest = module.partition(".")
        if package == "tests" or (package == "fuki_build" and rest and rest.partition(".")[0] not in PUBLIC):
            names.add(module)
    return names


EXAMPLES = PLUGINS.parent / "examples" / "plugins"
WORKED = sorted(path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.glob("*/**/*.py"))


@pytest.mark.parametrize("module", WORKED)
def test_worked_plugins_import_public_modules_only(module: str):
    assert private(imported((EXAMPLES / module).read_text())) == set()


@pytest.mark.parametrize("kind", KINDS)
def test_plugins_begin_with_public_modules_only(kind: str, tmp_path: Path):
    succeed(tmp_path, "plugin", "new", "begun", "--kind", kind)
    modules = list(tmp_path.rglob("*.py"))
    assert len(modules) == 2
    assert [name for module in modules for name in private(imported(module.read_text()))] == []


@pytest.mark.parametrize("module", MODULES)
def test_the_tests_of_a_plugin_import_public_modules_only(module: str):
    assert private(imported((PLUGINS / module).read_text())) == INSIDE.get(module, set())


def test_what_is_private_is_recognized():
    source = "import fuki_build\nfrom tests.support import x\nif x:\n    from fuki_build.image.layout import Layout\n"
    assert private(imported(source)) == {"tests.support", "fuki_build.image.layout"}
