"""The command line as a whole: verbs, help, streams, start-up."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from fuki_build import load_recipe
from fuki_build.testing import invoke, refused, succeed

VERBS = (
    *(
        "attach",
        "build",
        "check",
        "diff",
        "digests",
        "edit",
        "export",
        "firmware",
        "hand-over",
        "hwids",
        "init",
        "inputs",
        "inspect",
        "integrate",
        "keys",
        "launch",
        "machine",
    ),
    *(
        "match",
        "measure",
        "plan",
        "plugin",
        "plugins",
        "release",
        "replay",
        "report",
        "schema",
        "sign",
        "ukify",
        "verify",
    ),
)


class TestInit:
    def test_it_writes_a_recipe_that_loads(self, tmp_path):
        succeed(tmp_path, "init", "acme")
        assert load_recipe(tmp_path / "acme").recipe.name == "acme"

    def test_the_recipe_builds_once_its_parts_are_there(self, tmp_path, workshop):
        succeed(tmp_path, "init", "acme", "--name", "other")
        boot = tmp_path / "acme/boot"
        boot.mkdir()
        for name in ("vmlinuz", "initrd.img"):
            (boot / name).symlink_to(workshop / name)
        text = (tmp_path / "acme/fuki.toml").read_text()
        (tmp_path / "acme/fuki.toml").write_text(text.replace('stub = "auto"', f'stub = "{workshop / "stub"}"'))
        succeed(tmp_path, "build", "acme")
        assert (tmp_path / "acme/out/other_1.efi").is_file()

    def test_what_is_commented_out_is_a_recipe_too(self, tmp_path):
        """Every commented key, uncommented, is one that fuki knows."""
        succeed(tmp_path, "init")
        lines = (tmp_path / "fuki.toml").read_text().splitlines()
        keys = [line for line in lines if line.startswith("# ") and (" = " in line or line.startswith("# [["))]
        uncommented = [line.removeprefix("# ") if line in keys else line for line in lines]
        (tmp_path / "fuki.toml").write_text("\n".join(uncommented))
        recipe = load_recipe(tmp_path).recipe
        assert len(keys) > 12
        assert (len(recipe.firmware), len(recipe.profile), len(recipe.addon), len(recipe.output)) == (1, 1, 1, 2)

    def test_the_directorys_name_becomes_a_name_that_is_allowed(self, tmp_path):
        succeed(tmp_path, "init", "my image (1)!")
        assert load_recipe(tmp_path / "my image (1)!").recipe.name == "my-image-1"

    def test_a_recipe_that_is_there_is_not_replaced(self, tmp_path):
        (tmp_path / "fuki.toml").write_text("mine")
        assert "--force" in refused(tmp_path, "init")
        assert (tmp_path / "fuki.toml").read_text() == "mine"

    def test_force_replaces_it(self, tmp_path):
        (tmp_path / "fuki.toml").write_text("mine")
        succeed(tmp_path, "init", "--force")
        assert load_recipe(tmp_path).recipe.name

    def test_a_name_that_is_not_allowed_is_refused(self, tmp_path):
        refused(tmp_path, "init", "--name", 'a"b')


class TestHelp:
    # ukify's help is in ukify's form, and tested with its calls.
    @pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "ukify"])
    def test_every_verb_has_help(self, tmp_path, verb):
        out = succeed(tmp_path, verb, "--help").out
        assert out.startswith(f"Usage: fuki {verb}")

    def test_all_verbs_are_listed(self, tmp_path):
        out = succeed(tmp_path, "--help").out
        assert [line.split()[0] for line in out.partition("Commands:\n")[2].splitlines()] == list(VERBS)

    @pytest.mark.parametrize("arguments", [["plan", "--nope"], ["--nope"], ["inspect"], ["build", "a", "b"], []])
    def test_wrong_usage_ends_with_2_and_no_traceback(self, tmp_path, arguments):
        outcome = invoke(tmp_path, *arguments)
        assert outcome.code == 2
        assert "Usage: fuki" in outcome.err + outcome.out
        assert "Traceback" not in outcome.err


HEAVY = ("rich", "jinja2", "cryptography", "pluggy", "msgspec", "importlib.metadata", "difflib", "fuki_build.hooks")


def test_telling_the_version_imports_nothing_heavy():
    script = (
        "import sys; from fuki_build.cli.main import run; run(['--version']); "
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    out = subprocess.check_output([sys.executable, "-c", script], text=True)
    assert out.splitlines()[1] == "[]"


def test_planning_imports_neither_tables_nor_templates_when_asked_for_json(workshop):
    script = (
        "import sys; from fuki_build.cli.main import run; run(['plan', '--json']); "
        "print([name for name in ('rich', 'jinja2', 'cryptography', 'pefile') if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=workshop, capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


@pytest.mark.parametrize(
    "arguments", ["plan --json", "check --json", "build --json", "plugins --json", "inspect --json stub"]
)
def test_every_json_document_has_a_version(workshop, arguments):
    assert isinstance(json.loads(succeed(workshop, *arguments.split()).out)["version"], int)


# Escape codes


def on_terminal(directory: Path, *arguments: str, **environment: str) -> str:
    """All that a terminal gets to see."""
    leader, follower = pty.openpty()
    base = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR", "TERM", "CI")}
    process = subprocess.Popen(
        [sys.executable, "-m", "fuki_build", *arguments],
        cwd=directory,
        env={**base, "TERM": "xterm-256color", **environment},
        stdin=follower,
        stdout=follower,
        stderr=follower,
    )
    os.close(follower)
    seen = b""
    try:
        while piece := os.read(leader, 65536):
            seen += piece
    except OSError:  # the terminal's way to say that the last writer has gone
        pass
    os.close(leader)
    process.wait()
    return seen.decode()


@pytest.fixture
def findings(workshop):
    """A recipe that has a warning to show."""
    text = (workshop / "fuki.toml").read_text()
    (workshop / "fuki.toml").write_text(text.replace('os-release = "os-release"\n', ""))
    return workshop


def test_a_terminal_gets_colours(findings):
    seen = on_terminal(findings, "plan")
    assert "\x1b[1m" in seen
    assert "\x1b[33m" in seen


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
@pytest.mark.parametrize("verb", ["plan", "check", "plugins"])
def test_a_terminal_gets_no_escape_codes_with(findings, environment, verb):
    seen = on_terminal(findings, verb, **environment)
    assert "\x1b" not in seen
    assert seen


@pytest.mark.parametrize("arguments", [["plan"], ["check"], ["build"], ["inspect", "stub"], ["plugins"]], ids=str)
def test_a_pipe_gets_no_escape_codes(fuki, findings, arguments):  # noqa: ARG001 - the recipe is changed
    done = fuki(*arguments, TERM="xterm-256color")
    assert "\x1b" not in done.stdout + done.stderr


def test_a_large_build_on_a_terminal_shows_progress(workshop):
    os.truncate(workshop / "initrd.img", 100 * 1024**2)
    assert "\x1b[" in on_terminal(workshop, "build")


def test_a_large_build_on_a_dumb_terminal_shows_none(workshop):
    os.truncate(workshop / "initrd.img", 100 * 1024**2)
    seen = on_terminal(workshop, "build", TERM="dumb")
    assert seen.splitlines() == [f"wrote acme_41.3.efi (uki, {11.3 + 100:.1f} MiB)"]


# Readers that go away


@pytest.mark.parametrize(
    "arguments",
    [
        ["plan"],
        ["plan", "--json"],
        ["plan", "--svg"],
        ["schema"],
        ["check", "--list"],
        ["plugins"],
        ["inspect", "stub"],
        ["inspect", "vmlinuz", "--extract", "text", "-o", "-"],
        ["build", "--json"],
    ],
    ids=" ".join,
)
def test_a_reader_that_went_away_is_no_reason_to_complain(workshop, arguments):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "fuki_build", *arguments],
        cwd=workshop,
        stdin=subprocess.DEVNULL,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert done.stderr == ""
    assert done.returncode == 141


def test_a_full_standard_output_is_told(workshop):
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "fuki_build", "plan"],
            cwd=workshop,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "fuki: error: standard output: No space left on device\n"


def test_debug_shows_where_an_error_comes_from(workshop, tmp_path):
    environment = {**os.environ, "FUKI_DEBUG": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "fuki_build", "plan", tmp_path / "nope"],
        cwd=workshop,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "Traceback" in done.stderr
