"""Verbs on a recipe with a matrix."""

import fcntl
import hashlib
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from typing import Any

import pytest

from fuki_build.testing import invoke, refused, succeed
from tests.conftest import RECIPE
from tests.support.workshop import workshop_recipe


def matrix_recipe(**keys: Any) -> str:  # noqa: ANN401 - as in `recipe`
    """Four cells, each with a console of its architecture."""
    matrix = (
        '[fuki.matrix]\ncloud = ["aws", "gcp"]\n[fuki.matrix.arch.x64]\nconsole = "ttyS0"\n'
        '[fuki.matrix.arch.x86]\nconsole = "tty0"\n'
    )
    return workshop_recipe(matrix, cmdline="root=LABEL=root ro console={{ matrix.console }}", **keys)


MATRIX = matrix_recipe()
IDS = [f"cloud={cloud},arch={arch}" for cloud in ("aws", "gcp") for arch in ("x64", "x86")]


@pytest.fixture(autouse=True)
def recipe(workshop):
    (workshop / "fuki.toml").write_text(MATRIX)


class TestPlan:
    def test_all_cells_and_what_they_share_are_shown(self, workshop):
        (workshop / "more.img").write_bytes(b"more" * 500)
        recipe = MATRIX.replace('"initrd.img"]', '"initrd.img", "{{ matrix.more }}"]')
        recipe += (
            '[[fuki.matrix.include]]\nmore = "os-release"\n[[fuki.matrix.include]]\narch = "x86"\nmore = "more.img"\n'
        )
        (workshop / "fuki.toml").write_text(recipe)
        lines = succeed(workshop, "plan").out.splitlines()
        assert [line.split()[:2] for line in lines[1:5]] == [[id_, "ready"] for id_ in IDS]
        (kernel,) = [line for line in lines if line.startswith("vmlinuz")]
        (more,) = [line for line in lines if line.startswith("more.img")]
        assert kernel.split()[-2:] == ["4", "all"]

        assert more.split()[-3:] == ["2", "cloud=aws,arch=x86", "cloud=gcp,arch=x86"]

    def test_the_document_counts_shared_bytes_once(self, workshop):
        document = json.loads(succeed(workshop, "plan", "--json").out)
        sizes = {name: (workshop / name).stat().st_size for name in ("vmlinuz", "initrd.img", "os-release")}
        assert {item["path"]: item["size"] for item in document["inputs"]} == sizes
        assert document["input-size"] == sum(sizes.values())
        assert [cell["cell"] for cell in document["cells"]] == IDS
        assert document["cells"][1]["variables"] == {"cloud": "aws", "arch": "x86", "console": "tty0"}
        assert document["cells"][1]["outputs"] == ["acme_41.3_aws-x86.efi"]

    def test_a_single_cell_shows_its_sections(self, workshop):
        assert ".cmdline" in succeed(workshop, "plan", "--cell", IDS[0]).out

    def test_a_picture_is_of_one_cell(self, workshop):
        assert "choose one with --cell" in refused(workshop, "plan", "--svg")
        assert "<svg" in succeed(workshop, "plan", "--svg", "--cell", IDS[0]).out

    def test_a_cell_that_cannot_be_planned_is_told_beside_the_others(self, workshop):
        (workshop / "fuki.toml").write_text(MATRIX.replace('linux = "vmlinuz"', 'linux = "vmlinuz{{ matrix.sfx }}"') + (
            '[[fuki.matrix.include]]\nsfx = ""\n[[fuki.matrix.include]]\narch = "x86"\ncloud = "gcp"\nsfx = "-no"\n'
        ))  # fmt: skip
        outcome = invoke(workshop, "plan")
        assert outcome.code == 2
        assert f"cell {IDS[3]}: fuki.image.linux: cannot open vmlinuz-no" in outcome.err
        assert "3 of 4 cells were planned" in outcome.err
        assert len([line for line in outcome.out.splitlines() if " ready " in line]) == 3


class TestBuild:
    def test_a_pipe_gets_a_line_for_each_cell_and_one_report(self, workshop):
        outcome = succeed(workshop, "build", "-j", "2")
        assert [line for line in outcome.err.splitlines() if line.startswith("built")] == [
            f"built {id_} ({number} of 4)" for number, id_ in enumerate(IDS, 1)
        ]
        assert [line.split()[:3] for line in outcome.out.splitlines()[1:]] == [[id_, "built", "uki"] for id_ in IDS]

    def test_a_terminal_gets_one_line_that_is_updated_and_cleared(self, workshop):
        parent, child = pty.openpty()
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 25, 80, 0, 0))
        environment = {**os.environ, "TERM": "xterm"}
        environment.pop("NO_COLOR", None)

        command = [sys.executable, "-m", "fuki_build", "build"]
        subprocess.run(
            command, cwd=workshop, env=environment, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=child,
        )  # fmt: skip

        os.close(child)
        text = b""
        try:
            while piece := os.read(parent, 4096):
                text += piece
        except OSError:
            pass  # what a terminal reads as its end

        os.close(parent)
        assert b"\n" not in text
        assert b"\r4 of 4 cells, " in text
        assert text.endswith(b"\r\x1b[K")

    def test_only_the_chosen_cells_are_built(self, workshop):
        succeed(workshop, "build", "--cell", "arch=x86", "--cell", "cloud=a*,arch=x64")
        assert sorted(path.name for path in workshop.glob("*.efi")) == [
            "acme_41.3_aws-x64.efi", "acme_41.3_aws-x86.efi", "acme_41.3_gcp-x86.efi",
        ]  # fmt: skip

    def test_the_document_has_each_cell(self, workshop):
        cells = json.loads(succeed(workshop, "build", "--json").out)["cells"]
        assert [(cell["cell"], cell["error"]) for cell in cells] == [(id_, None) for id_ in IDS]
        assert [cell["artifacts"][0]["path"] for cell in cells] == [
            f"acme_41.3_{cloud}-{arch}.efi" for cloud in ("aws", "gcp") for arch in ("x64", "x86")
        ]
        assert cells[2]["values"] == {"cloud": "gcp", "arch": "x64"}

    @pytest.mark.parametrize(("option", "text"), [("--output", "cannot go to one path"), ("--depfile", "one image")])
    def test_what_is_about_one_image_is_refused_for_several(self, workshop, option, text):
        error = refused(workshop, "build", option, "x.out")
        assert text in error
        assert "--cell" in error
        succeed(workshop, "build", option, "x.out", "--cell", IDS[2])
        assert (workshop / "x.out").is_file()

    def test_checks_that_fail_keep_their_cell_from_being_written(self, workshop):
        (workshop / "fuki.toml").write_text(MATRIX.replace('"vmlinuz"', '"{{ matrix.linux }}"') + (
            '[[fuki.matrix.include]]\nlinux = "vmlinuz"\n[[fuki.matrix.include]]\narch = "x86"\nlinux = "stub"\n'
        ))  # fmt: skip
        outcome = invoke(workshop, "build")
        assert outcome.code == 1
        assert f"error: cell {IDS[1]} and 1 more: " in outcome.err
        assert sorted(path.name for path in workshop.glob("*.efi")) == [
            "acme_41.3_aws-x64.efi",
            "acme_41.3_gcp-x64.efi",
        ]


class TestOtherVerbs:
    def test_check_looks_at_every_cell(self, workshop):
        assert "4 cells" in succeed(workshop, "check").err
        (workshop / "fuki.toml").write_text(MATRIX.replace('"vmlinuz"', '"{{ matrix.linux }}"') + (
            '[[fuki.matrix.include]]\nlinux = "vmlinuz"\n[[fuki.matrix.include]]\narch = "x86"\nlinux = "stub"\n'
        ))  # fmt: skip
        outcome = invoke(workshop, "check", "--json")
        assert outcome.code == 1
        findings = {cell["cell"]: {f["rule"] for f in cell["findings"]} for cell in json.loads(outcome.out)["cells"]}
        assert findings[IDS[0]] == findings[IDS[2]] == set()
        assert findings[IDS[1]] == findings[IDS[3]]
        assert "kernel-is-image" in findings[IDS[1]]
        assert invoke(workshop, "check", "--cell", "arch=x64").code == 0
        github = invoke(workshop, "check", "--format", "github")
        assert github.code == 1

        assert github.out.count("::error file=fuki.toml") == 1

    @pytest.mark.parametrize("verb", [("match", "--recipe", "fuki.toml"), ("sign", "--recipe", "fuki.toml")])
    def test_a_verb_on_one_image_asks_for_a_cell(self, workshop, verb):
        succeed(workshop, "build")
        error = refused(workshop, verb[0], "acme_41.3_aws-x64.efi", *verb[1:])
        assert "choose one with --cell, such as cloud=aws,arch=x64" in error

    def test_ukify_s_call_says_what_to_do(self, workshop, monkeypatch):
        monkeypatch.setenv("FUKI_RECIPE", str(workshop / "fuki.toml"))
        error = refused(workshop, "ukify", "build", "--linux=vmlinuz", "--stub=stub", "--output=x.efi", code=1)
        assert "fuki build --cell" in error


class TestInputs:
    def test_each_cell_is_an_action_whose_command_builds_its_outputs(self, workshop):
        cells = json.loads(succeed(workshop, "inputs", "--json").out)["cells"]
        assert [cell["id"] for cell in cells] == IDS
        names = ["fuki.toml", "initrd.img", "os-release", "stub", "vmlinuz"]
        for cell in cells:
            assert [(item["path"], item["sha256"], item["size"]) for item in cell["inputs"]] == [
                (name, hashlib.sha256(data).hexdigest(), len(data))
                for name, data in ((name, (workshop / name).read_bytes()) for name in names)
            ]
            assert cell["needs"] == []

        action = cells[1]
        (output,) = action["outputs"]
        # Nothing but the inputs is there when the command runs.
        elsewhere = workshop / "elsewhere"
        elsewhere.mkdir()
        for item in action["inputs"]:
            (elsewhere / item["path"]).write_bytes((workshop / item["path"]).read_bytes())
        succeed(elsewhere, *action["command"][1:])
        succeed(workshop, "build")
        assert (elsewhere / output["path"]).read_bytes() == (workshop / output["path"]).read_bytes()

    def test_a_recipe_without_matrix_is_one_action(self, workshop):
        (workshop / "fuki.toml").write_text(RECIPE)
        (action,) = json.loads(succeed(workshop, "inputs", "--json", "--set", "a=b").out)["cells"]
        assert action["id"] == "acme"
        assert action["command"] == ["fuki", "build", "fuki.toml", "--set", "a=b"]

    def test_what_is_no_input_is_told_as_a_need_and_keys_never_are_inputs(self, workshop, monkeypatch):
        monkeypatch.setenv("CHANNEL", "beta")
        recipe = matrix_recipe(environment=["CHANNEL"])
        recipe += '[fuki.sign]\nbackend = "local"\nkey = "db.key"\ncertificate = "db.crt"\n'
        recipe += '[[fuki.firmware]]\nsource = "command"\nid = "made"\ncommand = ["cat", "stub"]\nchids = ["c7352a90-6932-5bb7-b916-d272f6e71955"]\n'  # noqa: E501
        (workshop / "fuki.toml").write_text(recipe)
        (workshop / "db.key").write_text("secret")
        cell = json.loads(succeed(workshop, "inputs", "--json").out)["cells"][0]
        assert [(need["kind"], need["name"]) for need in cell["needs"]] == [
            ("key", "fuki.sign"), ("source", "made"), ("environment", "CHANNEL"),
        ]  # fmt: skip
        assert not [item for item in cell["inputs"] if "key" in item["path"]]

        assert all((workshop / item["path"]).is_file() for item in cell["inputs"])

    def test_templates_are_inputs_with_what_they_include(self, workshop):
        (workshop / "notes.md.j2").write_text('{% include "head.j2" %}{{ build.name }}')
        (workshop / "head.j2").write_text("head ")
        output = '[[fuki.output]]\nformat = "template"\npath = "{{ matrix.cloud }}-{{ matrix.arch }}.md"\n'
        (workshop / "fuki.toml").write_text(MATRIX + output + 'template = "notes.md.j2"\n')
        (cell,) = json.loads(succeed(workshop, "inputs", "--json", "--cell", IDS[0]).out)["cells"]
        assert {"notes.md.j2", "head.j2"} < {item["path"] for item in cell["inputs"]}
