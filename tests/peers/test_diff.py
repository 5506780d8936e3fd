"""`fuki diff` on images of ukify, and its PCR 11 as systemd-measure computes it."""

import json
import sys
from pathlib import Path

import parts
import pytest

from fuki_build.testing import invoke, recipe, succeed
from fuki_build.testing.documents import printed
from tests.support.systemd import library_path
from tests.support.workshop import BASE, lay_out

CMDLINE = "root=LABEL=root ro"


@pytest.fixture
def directory(tmp_path: Path, tool) -> Path:
    """One image of ukify with a command line, one with another, and one of ours with the first."""
    text = recipe(cmdline=CMDLINE, os_release="os-release", initrd=["initrd.img"], uname="6.12")
    initrd = parts.initrd({"init": b"#!/bin/sh\n"})
    lay_out(tmp_path, real=BASE, files={"initrd.img": initrd, "os-release": "ID=acme\n"}, recipe=text)
    succeed(tmp_path, "build", "-o", "ours.efi")
    for name, cmdline in (("ukify.efi", CMDLINE), ("changed.efi", "root=LABEL=root rw quiet")):
        tool(
            *(sys.executable, parts.get("ukify"), "build", "--stub=stub", "--linux=vmlinuz", "--initrd=initrd.img"),
            *("--os-release=@os-release", f"--cmdline={cmdline}", "--uname=6.12", f"--output={name}"),
            cwd=tmp_path,
        )
    return tmp_path


def test_ukify_s_image_and_ours_are_the_same(directory: Path):
    gates = ("--forbid", "sections", "--forbid", "pcr11", "--forbid", "pcr12", "--forbid", "sbat")
    outcome = succeed(directory, "diff", "ukify.efi", "ours.efi", *gates)
    assert outcome.out.endswith("The images are the same, byte for byte.\n")
    assert (directory / "ukify.efi").read_bytes() == (directory / "ours.efi").read_bytes()


def test_images_of_ukify_that_differ_in_their_command_line_differ_in_nothing_else(directory: Path):
    document = printed(directory, "diff", "ukify.efi", "changed.efi", "--json")
    assert [row["name"] for row in document["sections"]] == [".cmdline"]
    assert document["texts"][0]["removed"] == ["ro"]
    assert invoke(directory, "diff", "ukify.efi", "changed.efi", "--forbid", ".cmdline").code == 3


def test_values_of_pcr_11_are_those_of_systemd_measure(directory: Path, tool, pe):
    document = printed(directory, "diff", "ukify.efi", "changed.efi", "--json")
    program = parts.get("systemd-measure")
    (row,) = [row for row in document["registers"] if (row["pcr"], row["phase"]) == (11, "enter-initrd")]
    for side, image in (("old", "ukify.efi"), ("new", "changed.efi")):
        sections = pe(directory / image)
        for name in (".linux", ".initrd", ".osrel", ".uname", ".sbat", ".cmdline"):
            (directory / name).write_bytes(sections.content(name))
        options = [f"--{name[1:]}={name}" for name in sections.names()]
        printed_values = tool(
            *(program, "calculate", *options, "--bank=sha256", "--phase=enter-initrd", "--json=short"),
            cwd=directory,
            LD_LIBRARY_PATH=library_path(program),
        )
        assert row[side]["sha256"] == json.loads(printed_values)["sha256"][0]["hash"]
    assert row["same"] is False
