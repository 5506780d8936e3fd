"""Programs are run from one place, so that none lacks a deadline, or outlives whoever waits for it."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
ALLOWED = {f"fuki_build/programs/{name}.py" for name in ("process", "supervisor", "workers")}
MODULES = {"subprocess", "_posixsubprocess", "multiprocessing", "pty", "popen2"}
CALLS = ("spawn", "posix_spawn", "exec", "fork", "system", "popen", "startfile")


def sources() -> Iterator[Path]:
    yield from (ROOT / "fuki_build").rglob("*.py")
    for package in (ROOT / "plugins").glob("*/fuki_*"):
        yield from package.rglob("*.py")


def uses(tree: ast.AST) -> Iterator[str]:
    """What runs programs: modules, functions of os, coroutines of asyncio."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names if name.name.partition(".")[0] in MODULES)
            case ast.ImportFrom(module=str(module), names=names):
                if module.partition(".")[0] in MODULES:
                    yield module
                if module in {"os", "asyncio"}:
                    yield from (name.name for name in names if name.name.startswith((*CALLS, "create_subprocess")))
            case ast.Attribute(value=ast.Name(id="os"), attr=name) if name.startswith(CALLS):
                yield f"os.{name}"
            case ast.Attribute(attr=name) if name.startswith(("create_subprocess", "subprocess_")):
                yield name


def test_nothing_else_runs_programs():
    elsewhere = {
        f"{path.relative_to(ROOT)}: {use}"
        for path in sources()
        if str(path.relative_to(ROOT)) not in ALLOWED
        for use in uses(ast.parse(path.read_bytes()))
    }
    assert elsewhere == set()


def test_the_rule_sees_what_it_forbids():
    text = "import subprocess, os\nfrom os import execv\nos.system('x')\nos.posix_spawn\nos.path\n"
    assert sorted(uses(ast.parse(text))) == ["execv", "os.posix_spawn", "os.system", "subprocess"]


def test_nothing_talks_to_networks_but_what_bounds_the_answers():
    clients = ("http.client", "urllib.request", "urllib3", "requests", "aiohttp", "httpx", "boto", "ftplib", "smtplib")
    elsewhere = {
        str(path.relative_to(ROOT))
        for path in sources()
        if path.parent.name != "fuki_kms" and any(name.startswith(clients) for name in imports(path))
    }
    assert elsewhere == {"fuki_build/network.py"}


def imports(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_bytes())))
    plain = {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names}
    return plain | {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
