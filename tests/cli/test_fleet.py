"""Verbs on several images: what they tell of each is what they tell of it alone, in the order of the arguments."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fuki_build.testing import CommandOutcome, invoke, recipe, refused, succeed
from fuki_build.testing.documents import complaints

VERBS: dict[str, tuple[str, ...]] = {
    "check": (),
    "digests": (),
    "inspect": (),
    "match": ("--machine", "acme.toml"),
    "measure": ("--machine", "acme.toml"),
    "verify": (),
}
"""The verbs that take several images, and what they are asked here."""
IMAGES = ("b.efi", "broken.efi", "a.efi", "nowhere.efi", "signed.efi")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, part: Callable[[str], Path]) -> Path:
    """Two images with firmware, a signed kernel, a file that is none, and a machine."""
    directory = tmp_path_factory.mktemp("fleet")
    for name, source in (("stub", "stub-x64"), ("vmlinuz", "kernel-x64"), ("one.fd", "ovmf-generic")):
        (directory / name).symlink_to(part(source))
    (directory / "signed.efi").symlink_to(part("shim"))
    (directory / "broken.efi").write_bytes(b"MZ, and no more")
    (directory / "acme.toml").write_text('[machine]\nmanufacturer = "Acme"\nproduct = "Rocket"\n')

    firmware = '[[fuki.firmware]]\nsource = "file"\npath = "one.fd"\nid = "one"\nmachines = ["acme.toml"]\n'
    for name in ("a", "b"):
        (directory / "fuki.toml").write_text(recipe(firmware, name=name, cmdline=f"console=tty0 {name}"))
        succeed(directory, "build", "-o", f"{name}.efi")
    return directory


def fuki(directory: Path, *arguments: object) -> CommandOutcome:
    """The command line in a process of its own, which may be copied."""
    command = [sys.executable, "-m", "fuki_build", *map(str, arguments)]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    return CommandOutcome(done.returncode, done.stdout, done.stderr)


def headed(image: str, text: str) -> str:
    return f"{image}:\n{text}" if text else ""


@pytest.mark.parametrize("verb", sorted(VERBS.keys() - {"digests"}))
def test_the_text_of_each_image_is_that_of_the_image_alone_under_its_name(fleet: Path, verb: str):
    alone = [invoke(fleet, verb, image, *VERBS[verb]) for image in IMAGES]
    together = fuki(fleet, verb, *IMAGES, *VERBS[verb])
    assert together.out == "".join(headed(image, one.out) for image, one in zip(IMAGES, alone, strict=True))
    assert together.err == "".join(
        one.err if one.err.startswith(f"fuki: error: {image}: ") else headed(image, one.err)
        for image, one in zip(IMAGES, alone, strict=True)
    )
    assert together.code == max(one.code for one in alone) != 0
    assert "broken.efi" in together.err
    assert "nowhere.efi" in together.err


@pytest.mark.parametrize("verb", VERBS)
def test_json_is_a_line_for_each_image_with_the_document_of_the_image_alone(fleet: Path, verb: str):
    as_json = () if verb == "digests" else ("--json",)
    together = fuki(fleet, verb, *IMAGES, *VERBS[verb], *as_json)
    lines = [json.loads(line) for line in together.out.splitlines()]
    assert [line["image"] for line in lines] == list(IMAGES)

    for image, line in zip(IMAGES, lines, strict=True):
        alone = invoke(fleet, verb, image, *VERBS[verb], *as_json)
        assert line["exit-code"] == alone.code
        assert line["document"] == (json.loads(alone.out) if alone.out else None)
        assert complaints(line, verb) == []
        assert list(line) == ["version", "image", "document", "exit-code", "error"]
        if line["error"] is not None:
            where = f"{line['error']['where']}: " if line["error"]["where"] else ""
            assert alone.err.splitlines()[-1 - bool(line["error"]["hint"])] == (
                f"fuki: error: {where}{line['error']['message']}"
            )
    assert together.code == max(line["exit-code"] for line in lines)


def test_an_image_that_is_not_as_expected_has_its_document_and_its_error(fleet: Path):
    together = fuki(fleet, "match", "a.efi", "signed.efi", "--expect", "./acme.toml=one", "--json")
    right, wrong = map(json.loads, together.out.splitlines())
    assert (right["exit-code"], right["error"]) == (0, None)
    assert wrong["exit-code"] == together.code == 3
    assert wrong["error"]["message"] == "acme selects no firmware, expected is one"
    assert wrong["document"]["matches"][0]["holds"] is False


def test_annotations_of_several_images_are_one_list(fleet: Path):
    alone = [invoke(fleet, "check", image, "--format", "github") for image in ("a.efi", "b.efi")]
    assert all(one.out for one in alone)
    assert fuki(fleet, "check", "a.efi", "b.efi", "--format", "github").out == alone[0].out + alone[1].out


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (("inspect", "a.efi", "b.efi", "--extract", ".cmdline", "-o", "cmdline"), "--extract"),
        (("check", "a.efi", "b.efi", "--addon", "a.efi"), "--addon"),
        (("check", "a.efi", "b.efi", "--format", "gitlab"), "--format gitlab"),
    ],
)
def test_an_option_that_is_about_one_file_is_refused_with_several(fleet: Path, arguments: tuple[str, ...], option: str):
    outcome = invoke(fleet, *arguments)
    assert outcome.code == 2
    assert f"{option} takes one FILE" in outcome.err


@pytest.mark.parametrize("verb", sorted(VERBS.keys() - {"check"}))
def test_without_an_image_the_usage_is_told(tmp_path: Path, verb: str):
    outcome = invoke(tmp_path, verb)
    assert (outcome.code, outcome.out) == (2, "")
    assert "Missing argument" in outcome.err


def test_what_is_asked_of_all_is_an_error_once(fleet: Path):
    assert "nothing.toml" in refused(fleet, "match", "a.efi", "b.efi", "--machine", "nothing.toml", code=1)
    assert "nothing.der" in refused(fleet, "verify", "a.efi", "b.efi", "--certificate", "nothing.der", code=1)


def test_rows_of_a_match_are_printed_before_all_are_made(fleet: Path, tmp_path: Path):
    """Rows by the thousand are not held in memory: the first ones are written when few others were made."""
    script = f"""
import os, sys
from fuki_build.cli.main import run
from fuki_build.image import selection_view
from fuki_build.image.selection_view import MatchViews
from fuki_build.hardware.machine import Machine
from fuki_build.cli import match

made, written = 0, []
view = MatchViews.view
def counted(self, *arguments):
    global made
    made += 1
    return view(self, *arguments)
MatchViews.view = counted
match.chosen_machines = lambda *_, **__: [Machine(name=str(n), product=str(n)) for n in range(int(sys.argv[1]))]
class Out:
    encoding = "utf-8"
    def write(self, data): written.append(made)
    def flush(self): pass
class Text(Out):
    buffer = Out()
sys.stdout = Text()
code = run(["match", {str(fleet / "a.efi")!r}, "--platform", "all", "--json"])
print(code, made, written[0], len(written), max(b - a for a, b in zip(written, written[1:])), file=sys.stderr)
"""
    (tmp_path / "script.py").write_text(script)
    held = []
    for count in (2000, 8000):
        done = subprocess.run(
            [sys.executable, tmp_path / "script.py", str(count)], capture_output=True, text=True, check=True
        )
        code, made, first, _, most = map(int, done.stderr.split())
        assert (code, made) == (0, count)
        held.append(max(first, most))
    assert held[0] == held[1] < 1000
