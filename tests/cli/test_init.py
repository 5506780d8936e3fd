"""The recipe that init writes plans at once: of the machine's parts, or of an image or configuration that is there."""

import json
import shutil
import tomllib
from pathlib import Path

import pytest

from fuki_build.cli.beginnings import machine_parts
from fuki_build.testing import invoke, succeed

RELEASE = "6.12.1-acme"


@pytest.fixture
def root(tmp_path: Path, workshop: Path) -> Path:
    """A machine with the workshop's stub, kernel and initrd, and an older kernel."""
    root = tmp_path / "machine"
    for name, path in {
        "vmlinuz": f"boot/vmlinuz-{RELEASE}",
        "initrd.img": f"boot/initrd.img-{RELEASE}",
        "os-release": "usr/lib/os-release",
        "stub": "usr/lib/systemd/boot/efi/linuxx64.efi.stub",
    }.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(workshop / name, target)
    return root


def image(directory: Path) -> dict[str, object]:
    return tomllib.loads((directory / "fuki.toml").read_text())["fuki"]["image"]


def planned(directory: Path) -> dict[str, str]:
    (image, *_) = json.loads(succeed(directory, "plan", "--json").out)["images"]
    return {section["name"]: section["what"] for section in image["sections"]}


def test_the_parts_of_the_running_kernel_are_found(root):
    parts = machine_parts(root, RELEASE)
    assert parts.stub == "auto"
    assert parts.linux == str(root / f"boot/vmlinuz-{RELEASE}")
    assert parts.initrd == (str(root / f"boot/initrd.img-{RELEASE}"),)
    assert parts.os_release == str(root / "usr/lib/os-release")
    assert not parts.missing


def test_another_kernel_is_found_with_its_own_initrd(root):
    parts = machine_parts(root, "5.10.0-other")
    assert parts.linux == str(root / f"boot/vmlinuz-{RELEASE}")
    assert parts.initrd == (str(root / f"boot/initrd.img-{RELEASE}"),)


def test_what_is_missing_is_told(tmp_path):
    parts = machine_parts(tmp_path, RELEASE)
    assert parts.missing == ("stub", "linux")


def test_a_recipe_from_an_image_plans_at_once(workshop):
    succeed(workshop, "build", "-o", "image.efi")
    succeed(workshop, "init", "new", "--from", "image.efi")
    assert image(workshop / "new") == {"base": str(workshop / "image.efi")}
    assert planned(workshop / "new")[".cmdline"] == "root=LABEL=root ro"


def test_a_recipe_from_a_ukify_conf_plans_at_once(workshop):
    (workshop / "ukify.conf").write_text(
        "[UKI]\nLinux=vmlinuz\nInitrd=initrd.img\nCmdline=root=here {{ quiet }}\nOSRelease=@os-release\nStub=stub\n"
        "Uname=6.1\n"
    )
    outcome = succeed(workshop, "init", "new", "--from", "ukify.conf")
    assert "not taken over: uname" in outcome.err
    sections = planned(workshop / "new")
    assert sections[".cmdline"] == "root=here {{ quiet }}"
    assert sections[".osrel"] == "Acme 41"


def test_a_recipe_from_an_mkosi_conf_plans_at_once(workshop):
    output = workshop / "mkosi.output"
    output.mkdir()
    shutil.copyfile(workshop / "vmlinuz", output / "fleet.vmlinuz")
    shutil.copyfile(workshop / "initrd.img", output / "fleet.initrd")
    (workshop / "mkosi.conf").write_text(
        "[Output]\nImageId=fleet\nImageVersion=7\n[Content]\nKernelCommandLine=root=there\n    quiet\n"
    )
    succeed(workshop, "init", "new", "--from", "mkosi.conf")
    recipe = tomllib.loads((workshop / "new/fuki.toml").read_text())["fuki"]
    assert (recipe["name"], recipe["version"]) == ("fleet", "7")
    assert recipe["image"]["linux"] == str(output / "fleet.vmlinuz")

    # This machine need not have a stub of its own.
    path = workshop / "new/fuki.toml"
    path.write_text(path.read_text().replace('stub = "auto"', f'stub = "{workshop / "stub"}"'))
    assert planned(workshop / "new")[".cmdline"] == "root=there quiet"


def test_what_is_beside_the_recipe_keeps_its_place_with_it(workshop):
    (workshop / "ukify.conf").write_text("[UKI]\nLinux=vmlinuz\nStub=stub\n")
    succeed(workshop, "init", "--force", "--from", "ukify.conf")
    assert (image(workshop)["linux"], image(workshop)["stub"]) == ("vmlinuz", "stub")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[Fuki]\nName=a\n", "it has a recipe already"),
        ("[Match]\nHost=a\n", "nothing in it says what an image is made of"),
        ("\x7fELF\0", "it is not text"),
    ],
)
def test_a_file_that_says_nothing_of_an_image_is_refused(workshop, content, message):
    (workshop / "some.conf").write_text(content)
    outcome = invoke(workshop, "init", "new", "--from", "some.conf")
    assert outcome.code == 2
    assert message in outcome.err
    assert not (workshop / "new").exists()
