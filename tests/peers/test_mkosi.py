"""mkosi passes over `[Fuki]`, and fuki over everything else."""

import json
import shutil
import sys
from pathlib import Path

import parts
import pytest

from fuki_build.testing import recipe, succeed

PLAIN = """\
[Distribution]
Distribution=debian
Release=trixie

[Output]
ImageId=acme
Format=uki

[Content]
KernelCommandLine=quiet
"""

SECTION = """
[Fuki]
Name=acme
Version=41.3
Stub=stub
Linux=vmlinuz
Initrd=early.img odd.img
       late.img
Cmdline=root=LABEL=root ro
    console=ttyS0
OsRelease=os-release
# in the middle
Splash=splash.bmp
Uname=6.0-of-the-recipe
Firmware=source=directory path=firmware/ovmf-amdsev hwids=machines/a.json
Firmware=source=file path=firmware/ovmf-generic/OVMF.fd id=ovmf-generic hwids=machines/b.json,machines/c.json
Profile=id=debug title="Boot with a shell" cmdline="root=LABEL=root ro systemd.debug_shell=1"
Addon=name=serial cmdline=console=ttyS1
Sections=.blob=blob

[Build]
Environment=AFTER=1
"""

RECIPE = recipe(
    """
[[fuki.firmware]]
source = "directory"
path = "firmware/ovmf-amdsev"
hwids = "machines/a.json"
[[fuki.firmware]]
source = "file"
path = "firmware/ovmf-generic/OVMF.fd"
id = "ovmf-generic"
hwids = ["machines/b.json", "machines/c.json"]
[[fuki.profile]]
id = "debug"
title = "Boot with a shell"
cmdline = "root=LABEL=root ro systemd.debug_shell=1"
[[fuki.addon]]
name = "serial"
cmdline = "console=ttyS1"
""",
    version="41.3",
    initrd=["early.img", "odd.img", "late.img"],
    cmdline="root=LABEL=root ro console=ttyS0",
    os_release="os-release",
    splash="splash.bmp",
    uname="6.0-of-the-recipe",
    sections={".blob": "blob"},
)


@pytest.fixture
def mkosi(tool, tmp_path_factory):
    """Run mkosi out of its unpacked package, in a home of its own."""

    def run(directory: Path, *arguments: str) -> str:
        home = tmp_path_factory.mktemp("home")
        environment = {"PYTHONPATH": str(parts.get("mkosi").parent), "HOME": str(home), "XDG_CACHE_HOME": str(home)}
        return tool(sys.executable, "-m", "mkosi", "-C", directory, *arguments, **environment)

    return run


def test_a_line_that_we_refuse_is_one_that_mkosi_dies_of(directory, mkosi):
    (directory / "mkosi.conf").write_text(PLAIN + "[Fuki]\nCmdline=quiet\n    [a\n")
    with pytest.raises(AssertionError, match=r"\[a is not a valid section"):
        mkosi(directory, "--json", "summary")


def test_mkosi_passes_over_marks_in_our_values(directory, mkosi):
    (directory / "mkosi.conf").write_text(PLAIN + SECTION.replace("ro\n", "ro a#b\n"))
    assert json.loads(mkosi(directory, "--json", "summary"))["Images"][0]["ImageId"] == "acme"


def test_mkosi_reads_the_same_configuration_with_our_section_and_without(directory, mkosi):
    configuration = directory / "mkosi.conf"
    configuration.write_text(PLAIN + "\n[Build]\nEnvironment=AFTER=1\n")
    plain = json.loads(mkosi(directory, "--json", "summary"))
    configuration.write_text(PLAIN + SECTION)
    ours = json.loads(mkosi(directory, "--json", "summary"))
    for summary in (plain, ours):
        (image,) = summary["Images"]
        assert (image["ImageId"], image["Environment"]["AFTER"]) == ("acme", "1")
        image.pop("Seed", None)
    assert ours == plain


def test_mkosi_builds_nothing_where_the_program_is_missing_that_a_project_wants(tmp_path, mkosi):
    (tmp_path / "mkosi.conf").write_text(PLAIN + SECTION)
    succeed(tmp_path, "integrate", "mkosi")
    shutil.rmtree(tmp_path / "mkosi.fuki")
    with pytest.raises(AssertionError, match=r"mkosi\.fuki does not exist"):
        mkosi(tmp_path, "--json", "summary")


def test_mkosi_reads_the_example(tmp_path, mkosi):
    text = (parts.CHECKOUT / "examples" / "mkosi" / "mkosi.conf").read_text()
    assert "[Fuki]" in text
    (tmp_path / "mkosi.conf").write_text(text)
    (image,) = json.loads(mkosi(tmp_path, "--json", "summary"))["Images"]
    assert f"ImageId={image['ImageId']}\n" in text


def plan(tool, directory: Path):
    return json.loads(tool(sys.executable, "-m", "fuki_build", "plan", "--json", directory))


def test_a_recipe_in_mkosi_conf_plans_the_image_of_the_same_one_in_fuki_toml(directory, tool):
    (directory / "mkosi.conf").write_text(PLAIN + SECTION)
    from_mkosi = plan(tool, directory)
    (directory / "mkosi.conf").unlink()
    (directory / "fuki.toml").write_text(RECIPE)
    from_toml = plan(tool, directory)
    assert from_mkosi == from_toml
    uki, addon = from_toml["images"]
    assert [f["fwid"] for f in uki["firmware"]] == ["ovmf-amdsev", "ovmf-generic"]
    assert addon["name"] == "serial"


def test_a_recipe_in_mkosi_conf_builds_the_bytes_of_the_same_one_in_fuki_toml(directory, build):
    (directory / "mkosi.conf").write_text(PLAIN + SECTION)
    from_mkosi = build(directory).read_bytes()
    (directory / "image.efi").unlink()
    (directory / "mkosi.conf").unlink()
    (directory / "fuki.toml").write_text(RECIPE)
    assert build(directory).read_bytes() == from_mkosi
