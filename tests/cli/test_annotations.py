"""Findings beside a change: what code hosts read, and at which lines of a recipe."""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import parts
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuki_build.cli.render.annotations import Annotation, annotation, annotations_text
from fuki_build.hooks.rules import Finding, Severity
from fuki_build.recipe.lines import lines_of_mkosi, lines_of_toml, locate

SCHEMA = json.loads((Path(__file__).parent.parent / "data" / "gitlab-code-quality.schema.json").read_text())
_COMMAND = re.compile(r"::(?P<name>\w+) (?P<properties>[^:\r\n]*)::(?P<data>[^\r\n]*)")


def read_command(line: str) -> tuple[str, dict[str, str], str]:
    """A command as GitHub's runner reads it: ActionCommand.cs splits, then replaces, the per cent sign last."""
    match = _COMMAND.fullmatch(line)
    assert match is not None, line

    def unescape(text: str, *, is_property: bool) -> str:
        pairs = [("%0D", "\r"), ("%0A", "\n"), *([("%3A", ":"), ("%2C", ",")] if is_property else []), ("%25", "%")]
        for escaped, character in pairs:
            text = text.replace(escaped, character)
        return text

    pairs = (pair.split("=", 1) for pair in match["properties"].split(","))
    properties = {key: unescape(value, is_property=True) for key, value in pairs}
    return match["name"], properties, unescape(match["data"], is_property=False)


def finding(**fields: str) -> Finding:
    given = {"rule": "a-rule", "severity": Severity.ERROR, "message": "it is wrong", **fields}
    return Finding(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("severity", "command", "level"),
    [("error", "error", "critical"), ("warning", "warning", "minor"), ("note", "notice", "info")],
)
def test_severities_are_those_of_the_hosts(severity, command, level):
    one = Annotation(finding(severity=Severity(severity)), "fuki.toml", 3)
    assert read_command(annotations_text([one], "github").strip())[0] == command
    assert json.loads(annotations_text([one], "gitlab"))[0]["severity"] == level


NASTY = "100%, a:b,c=d %0A ::error::x ::set-output name=a::b"


def test_no_text_of_a_finding_becomes_a_property_or_a_command():
    one = Annotation(finding(message=NASTY + "\n::error::two\r", where="@1 .cmdline", hint=NASTY), NASTY, 7)
    text = annotations_text([one], "github")
    assert text.count("\n") == 1
    name, properties, data = read_command(text.removesuffix("\n"))
    assert name == "error"
    assert properties == {"file": NASTY, "line": "7", "title": "fuki: a-rule"}
    assert data == f"@1 .cmdline: {NASTY}\\n::error::two\\r\nhint: {NASTY}"


def test_a_report_holds_its_schema_and_has_no_fingerprint_twice():
    one = Annotation(finding(message=NASTY), "fuki.toml", 7)
    image = Annotation(finding(), "image.efi")
    report = json.loads(annotations_text([one, one, image], "gitlab"))
    jsonschema.validate(report, SCHEMA)
    assert len({issue["fingerprint"] for issue in report}) == 3
    assert json.loads(annotations_text([], "gitlab")) == []


def test_a_fingerprint_stays_when_lines_move():
    reports = (annotations_text([Annotation(finding(), "fuki.toml", line)], "gitlab") for line in (3, 30))
    first, second = (json.loads(report)[0] for report in reports)
    assert first["fingerprint"] == second["fingerprint"]
    assert first["location"] != second["location"]


def test_paths_are_told_from_the_current_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert annotation(finding(), Path("./a/fuki.toml")).path == "a/fuki.toml"
    assert annotation(finding(), tmp_path / "a" / "fuki.toml").path == "a/fuki.toml"
    assert annotation(finding(), tmp_path.parent / "fuki.toml").path == str(tmp_path.parent / "fuki.toml")


TOML = '''\
# A recipe.
[fuki]
name = "acme"
"version" = "1"
variables.root = """
linux = "not this one"
[fuki.image]
"""

[fuki.image]  # the base
stub = "stub"
linux = "vmlinuz"
initrd = [
  "one", # ]
  "two",
]
cmdline = 'quiet'

[[fuki.firmware]]
source = "directory"
path = "a"

[[ fuki . firmware ]]
path = "b"
[fuki.firmware.igvm]
platforms = ["native"]

[[fuki.profile]]
id = "debug"
cmdline = "debug"
'''
PLACES = {
    "fuki": 2,
    "fuki.name": 3,
    "fuki.version": 4,
    "fuki.variables.root": 5,
    "fuki.image": 10,
    "fuki.image.linux": 12,
    "fuki.image.initrd[1]": 13,
    "fuki.image.hwids": 10,
    "fuki.firmware[0].path": 21,
    "fuki.firmware[1]": 23,
    "fuki.firmware[1].path": 24,
    "fuki.firmware[1].igvm.platforms[0]": 26,
    "fuki.firmware[1].platforms": 23,
    ".linux": 12,
    "@0 .cmdline": 17,
    "@1 .cmdline": 30,
    "@1 .osrel": 28,
    ".efifw": 19,
    ".efifw acme": 19,
    ".dtb": 10,
    "AddressOfEntryPoint": 2,
    "": 2,
}


@pytest.mark.parametrize("place", PLACES)
def test_a_place_is_the_line_that_says_it_or_the_nearest_table(tmp_path, place):
    (tmp_path / "fuki.toml").write_text(TOML)
    assert locate(place or None, [tmp_path / "fuki.toml"]).line == PLACES[place]


RECIPES = sorted(Path(__file__).parent.parent.parent.glob("examples/*/fuki.toml"))


def leaves(data: object, place: str) -> Iterator[tuple[str, str]]:
    """Every key with its place, as Python's own parser finds it."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        inner = f"{place}[{key}]" if isinstance(key, int) else f"{place}.{key}" if place else key
        if isinstance(key, str):
            yield key, inner
        yield from leaves(value, inner)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.parent.name)
def test_every_key_of_the_examples_stands_on_the_line_that_is_told(recipe):
    lines = recipe.read_text().splitlines()
    places = list(leaves(tomllib.loads(recipe.read_text()), ""))
    assert len(places) > 5
    for key, place in places:
        assert key in lines[locate(place, [recipe]).line - 1]


@given(st.text("[]{}=.\"'#\n\\ ab-0", max_size=300))
def test_lines_of_any_text_are_lines_of_it(text):
    count = len(text.splitlines())
    for lines in (lines_of_toml(text), lines_of_mkosi(text)):
        assert all(1 <= line <= count for line in lines.values())


def test_lines_of_text_that_is_no_toml_are_told_as_far_as_it_goes():
    assert lines_of_toml('[fuki]\nname = "x\n[fuki.image]\nlinux = """')["fuki", "image", "linux"] == 4
    assert lines_of_toml("") == {}


def test_places_of_an_mkosi_project_are_in_the_file_that_says_them(tmp_path):
    (tmp_path / "mkosi.conf").write_text("[Output]\nName=no\n[Fuki]\nOsRelease=os-release\n")
    more = tmp_path / "more.conf"
    more.write_text("[Fuki]\nFirmware=source=directory\nFirmware=path=b\n")
    files = [tmp_path / "mkosi.conf", more]
    assert locate("fuki.image.os-release", files).line == 4
    assert locate("fuki.firmware[1].path", files) == locate("fuki.firmware[1]", files)
    assert (locate("fuki.firmware[1]", files).path, locate("fuki.firmware[1]", files).line) == (more, 3)
    assert ("fuki", "name") not in lines_of_mkosi((tmp_path / "mkosi.conf").read_text())


def check(directory: Path, *arguments: str) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "fuki_build", "check", *arguments]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def test_a_recipe_that_is_no_toml_is_told_at_the_line_where_it_stops(tmp_path):
    (tmp_path / "fuki.toml").write_text('[fuki]\nname = "acme"\nversion = = 1\n')
    code, printed, told = check(tmp_path, "--format", "github")
    assert code == 2
    assert read_command(printed.strip())[1]["line"] == "3"
    assert told.startswith("fuki: error: fuki.toml: ")


def test_a_recipe_that_is_not_there_is_in_the_report(tmp_path):
    code, printed, _ = check(tmp_path, "missing/fuki.toml", "--format", "gitlab")
    assert code != 0
    (issue,) = json.loads(printed)
    jsonschema.validate([issue], SCHEMA)
    assert (issue["severity"], issue["location"]["path"]) == ("blocker", "missing/fuki.toml")


def test_findings_about_an_image_are_told_at_its_path(tmp_path):
    (tmp_path / "stub.efi").symlink_to(parts.get("boot-x64"))
    code, printed, _ = check(tmp_path, "stub.efi", "--format", "github")
    assert code in {0, 1}
    assert {read_command(line)[1].get("file") for line in printed.splitlines()} == {"stub.efi"}
    assert not any("line" in read_command(line)[1] for line in printed.splitlines())


def test_json_and_annotations_cannot_be_had_at_once(tmp_path):
    assert check(tmp_path, "--json", "--format", "github")[0] == 2
