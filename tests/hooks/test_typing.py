"""Type checkers know what plugins handle: code that is right passes in their strictest form, mistakes do not."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import parts
import pytest

from fuki_build.cli.plugin import KINDS
from fuki_build.testing import succeed

Check = Callable[[Path], list[tuple[str, int]]]


def mypy(directory: Path) -> list[tuple[str, int]]:
    """The errors that mypy finds in the modules of a directory, each by file and line."""
    # Neither settings nor a cache of this checkout count.
    settings = ["--strict", "--config-file", os.devnull, "--cache-dir", str(directory / "cache")]
    command = [sys.executable, "-m", "mypy", *settings, "."]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return [(match[1], int(match[2])) for match in re.finditer(r"(?m)^(.+?):(\d+): error: ", done.stdout)]


def pyright(directory: Path) -> list[tuple[str, int]]:
    """The same of pyright."""
    (directory / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict", "reportMissingModuleSource": false}')
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "."]
    # It would ask whether there is a newer one.
    environment = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    diagnosis = json.loads(done.stdout)
    assert diagnosis["summary"]["filesAnalyzed"]
    errors = [one for one in diagnosis["generalDiagnostics"] if one["severity"] == "error"]
    return [
        (Path(one["file"]).relative_to(directory.resolve()).as_posix(), one["range"]["start"]["line"] + 1)
        for one in errors
    ]


CHECKERS = pytest.mark.parametrize("check", [mypy, pyright], ids=["mypy", "pyright"])


@CHECKERS
def test_plugins_of_every_kind_and_the_worked_one_are_right(check: Check, tmp_path: Path):
    for kind in KINDS:
        succeed(tmp_path, "-q", "plugin", "new", f"typed-{kind}", "--kind", kind)
        (tmp_path / f"fuki-typed-{kind}/fuki_typed_{kind}").rename(tmp_path / f"fuki_typed_{kind}")
        shutil.rmtree(tmp_path / f"fuki-typed-{kind}")
    shutil.copytree(parts.CHECKOUT / "examples/plugins/fuki-acme/fuki_acme", tmp_path / "fuki_acme")
    assert check(tmp_path) == []


MISTAKES = """
from collections.abc import Sequence

from fuki_build.errors import RecipeError
from fuki_build.hooks import (
    Build, BuiltImage, CheckSubject, DigestNeeds, FirmwareFile, FirmwareSource, KeySigner, LaunchDigest, Options,
    OutputContext, OutputFormat, Platform, Problem, Problems, Rule, Section, Severity, SigningContext, SigningKey,
    SourceContext, hookimpl,
)


class VendorOptions(Options, frozen=True):
    board: str


class Vendor(FirmwareSource):
    name = "vendor"
    Options = VendorOptions

    def fetch(self, options: VendorOptions, context: SourceContext) -> str:  # MISTAKE
        return "firmware.fd"


def rule(subject: CheckSubject) -> Problems:
    for section in subject.sections(".cmdline"):
        words = section.text().split()
        if section.size > "64":  # MISTAKE
            yield "a text"  # MISTAKE
        if section.txt():  # MISTAKE
            yield Problem(words)  # MISTAKE
        if subject.profiles[0].number == 1:
            yield Problem("fine", where=section.place, hint=subject.profiles[0].title)


no_severity = Rule(id="x", summary="", explanation="", check=rule)  # MISTAKE
no_rule = Rule(id="x", severity=Severity.NOTE, summary="", explanation="", check=len)  # MISTAKE


class Digests(OutputFormat):
    name = "digests"

    def digests(self, options: VendorOptions) -> DigestNeeds:
        return DigestNeeds(sections={"sha256"})  # MISTAKE

    def emit(self, options: VendorOptions, build: Build, context: OutputContext) -> None:
        first: Section = build.uki.sections()[0]
        text: str = build.uki.section_digest(first)
        context.write(context.path, text)  # MISTAKE
        wrong: BuiltImage = build.uki.layout  # MISTAKE
        print(wrong)


def kept(context: SourceContext) -> FirmwareFile:
    return FirmwareFile(context.cached("00", lambda file: file.write("a text")))  # MISTAKE


digest = LaunchDigest(technology="x", register="y", algorithm="z")  # MISTAKE


@hookimpl
def fuki_platforms() -> Sequence[type[Platform]]:
    return [Vendor]  # MISTAKE


def secret(context: SigningContext) -> SigningKey:
    return context.secret("env:X", "token", "token")  # MISTAKE


print(KeySigner, RecipeError("x", wher="y"))  # MISTAKE
"""


@CHECKERS
def test_mistakes_are_found_where_they_are_and_nowhere_else(check: Check, tmp_path: Path):
    source = dedent(MISTAKES)
    (tmp_path / "mistaken.py").write_text(source)
    lines = [("mistaken.py", number) for number, line in enumerate(source.splitlines(), 1) if "# MISTAKE" in line]
    assert sorted(set(check(tmp_path))) == lines
