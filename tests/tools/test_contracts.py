"""Contracts about the code: imports, which name every plugin, and identity as a key."""

import ast
import tomllib
from collections.abc import Iterator

import parts


def test_every_plugin_is_held_to_the_public_interface():
    packages = {path.name for path in parts.CHECKOUT.glob("plugins/*/fuki_*")}

    config = tomllib.loads((parts.CHECKOUT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (contract,) = (contract for contract in config["contracts"] if "fuki_aws" in contract.get("source_modules", ()))

    assert packages == set(contract["source_modules"])
    assert packages < set(config["root_packages"])


def identity_calls(source: str) -> Iterator[int]:
    """The lines that ask for `id()` of something."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name) and node.id == "id" and isinstance(node.ctx, ast.Load):
            yield node.lineno


def test_identity_is_found_wherever_it_is_asked_for():
    assert sorted(identity_calls("x = {id(key): 1}\ny = map(id, x)\nz.id = key.id\nf(id=1)\n")) == [1, 2]


def test_nothing_is_looked_up_by_identity():
    """Copies of a thing have other identities, so that a look-up would miss without an error."""
    modules = [*parts.CHECKOUT.glob("fuki_build/**/*.py"), *parts.CHECKOUT.glob("plugins/*/fuki_*/**/*.py")]
    lines = [f"{module}:{line}" for module in modules for line in identity_calls(module.read_text())]

    assert len(modules) > 100
    assert lines == []
