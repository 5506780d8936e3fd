"""What commands load: heavy modules only where they are used."""

import importlib
import os
import subprocess
import sys

import pytest

from fuki_build.cli.main import VERBS
from tests.conftest import RECIPE

HEAVY = frozenset(
    (
        "OpenSSL",
        "cryptography",
        "email",
        "http",
        "importlib.metadata",
        "jinja2",
        "pefile",
        "rich",
        "ssl",
        "urllib.request",
    )
)
BUILDING = frozenset(("fuki_build.emit.write", "fuki_build.emit.images"))
UNUSED = frozenset(
    (
        "concurrent.futures",
        "fuki_build.launch.predict",
        "fuki_build.measure.predict",
        "fuki_build.measure.views",
        "logging",
        "secrets",
        "selectors",
        "subprocess",
    )
)
"""What recipes need that predict something, run programs or build many images, and others do not."""
RECIPES = frozenset(("fuki_build.recipe.resolve", "fuki_build.emit.plan"))

RUN = """
import sys
from fuki_build.cli.main import run
code = run(sys.argv[1:])
sys.stderr.write("\\n" + " ".join(sys.modules))
sys.exit(code)
"""

KEYS = ("--key", "db.key", "--certificate", "db.crt")
LOADS = {
    "--version": (("--version",), frozenset()),
    "--help": (("--help",), frozenset()),
    "plan": (("plan",), frozenset()),
    "plan --json": (("plan", "--json"), frozenset()),
    "build": (("build", "-o", "new.efi"), frozenset()),
    "build --json": (("build", "--json", "-o", "new.efi"), frozenset()),
    "check": (("check", "fuki.toml"), frozenset()),
    "inspect": (("inspect", "image.efi"), frozenset()),
    "inspect --digests": (("inspect", "--digests", "image.efi"), frozenset()),
    "match": (("match", "image.efi", "--platform", "qemu:q35"), frozenset()),
    "measure": (("measure", "image.efi"), frozenset()),
    "hwids decode": (("hwids", "decode", "image.efi"), frozenset()),
    "firmware show": (("firmware", "show", "image.efi"), frozenset()),
    "schema": (("schema",), frozenset()),
    "plugins": (("plugins",), {"email", "importlib.metadata"}),
    "a plugin": (("--plugin", "virt", "plan"), {"email", "importlib.metadata"}),
    "digests": (("digests", "image.efi"), {"cryptography", "email"}),
    "verify": (("verify", "image.efi"), {"OpenSSL", "cryptography", "email", "pefile"}),
}
"""Command lines, and which heavy modules each may load."""


@pytest.fixture
def loaded(workshop, part):
    """The modules that a command line loads in the workshop, where an image is."""
    (workshop / "one.fd").symlink_to(part("ovmf-inteltdx"))
    (workshop / "fuki.toml").write_text(
        f'{RECIPE}[[fuki.firmware]]\nsource = "file"\nid = "one"\npath = "one.fd"\nplatforms = ["qemu:q35"]\n'
    )

    def load(*arguments: str) -> set[str]:
        # Coverage of subprocesses would load modules of its own.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
        command = [sys.executable, "-c", RUN, *arguments]
        done = subprocess.run(command, cwd=workshop, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode in (0, 3), done.stderr
        return set(done.stderr.rpartition("\n")[2].split())

    load("build", "-o", "image.efi")
    return load


@pytest.mark.parametrize("command", LOADS)
def test_a_command_loads_what_it_uses(loaded, command):
    arguments, may = LOADS[command]
    modules = loaded(*arguments)
    assert "fuki_build.cli.main" in modules
    assert modules & HEAVY <= set(may)


ENDS = """
import atexit, gc, sys
from fuki_build.cli.main import serve
made = len(gc.get_objects())
atexit.register(lambda: print(made, gc.get_freeze_count(), gc.get_threshold()[0], file=sys.stderr))
serve(sys.argv[1:])
"""


def test_at_the_end_python_has_nothing_to_look_through():
    done = subprocess.run([sys.executable, "-c", ENDS, "nothing"], capture_output=True, text=True, check=False)
    # What is registered for the end is run all the same, and the exit code is the command's.
    made, frozen, threshold = map(int, done.stderr.splitlines()[-1].split())
    assert done.returncode == 2
    assert frozen >= made
    assert threshold >= 100_000


def test_planning_does_not_load_what_writes(loaded):
    assert not loaded("plan") & BUILDING


@pytest.mark.parametrize("verb", ["plan", "build"])
def test_a_plain_recipe_loads_nothing_that_predicts_or_runs_programs(loaded, verb):
    assert not loaded(verb) & UNUSED


def test_verbs_on_finished_images_do_not_load_recipes(loaded):
    assert not loaded("inspect", "image.efi") & (RECIPES | BUILDING)
    assert not loaded("measure", "image.efi") & (RECIPES | BUILDING)


def test_help_loads_no_verb(loaded):
    modules = loaded("--help")
    assert not modules & {f"fuki_build.cli.{verb.replace('-', '_')}" for verb in VERBS}


@pytest.mark.parametrize("verb", VERBS)
def test_help_tells_of_each_verb_what_that_says_of_itself(verb):
    name = verb.replace("-", "_")
    command = getattr(importlib.import_module(f"fuki_build.cli.{name}"), name)
    assert VERBS[verb] == command.get_short_help_str(limit=1000)
