"""Checks cry no wolf: images of real parts, by fuki and by ukify, and Debian's own programs get no complaint."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import parts
import pytest

from fuki_build.checks.run import check
from fuki_build.hooks.rules import Severity
from fuki_build.image.inspect import inspect
from fuki_build.pipeline import new_host
from fuki_build.testing import recipe, succeed

ARCHITECTURES = ("x64", "aa64", "ia32", "arm", "riscv64", "loongarch64")
PROGRAMS = (
    *(f"{kind}-{efi}" for kind in ("stub", "addon-stub") for efi in ARCHITECTURES),
    *(f"boot-{efi}" for efi in ARCHITECTURES if efi != "aa64"),
    "stub-257-x64",
    "kernel-x64",
    "kernel-aa64",
    "shim",
)

PLAIN = ("--os-release=@os-release", "--cmdline=quiet", "--initrd=early.img")
FULL = (
    *PLAIN,
    "--microcode=ucode.img",
    "--splash=splash.bmp",
    "--pcrpkey=pcr.pem",
    "--section=.note:built for a test",
)
UKIFY: dict[str, tuple[Sequence[str], set[str]]] = {
    # What ukify gets, and the notes that the image has.
    "x64": (("--stub=stub", "--linux=vmlinuz", "--hwids=", *PLAIN), set()),
    "x64 with everything": (("--stub=stub", "--linux=vmlinuz", "--hwids=", *FULL), set()),
    "x64 on 257": (("--stub=stub-257", "--linux=vmlinuz", "--hwids=", *FULL), set()),
    "x64 with firmware": (
        ("--stub=stub", "--linux=vmlinuz", "--hwids=machines", "--efifw=firmware/ovmf-amdsev", *PLAIN),
        {"firmware-not-handed-over", "hwids-missing-firmware"},
    ),
    "aa64": (("--stub=stub-aa64", "--linux=vmlinuz-aa64", "--efi-arch=aa64", "--hwids=", *PLAIN), set()),
    "aa64 with machines": (
        (
            *(
                "--stub=stub-aa64",
                "--linux=vmlinuz-aa64",
                "--efi-arch=aa64",
                "--hwids=hwids",
                "--devicetree=machine.dtb",
            ),
            *("--devicetree-auto=first.dtb", "--devicetree-auto=second.dtb", *FULL),
        ),
        # systemd's collection of machines is for more devicetrees than any image has.
        {"hwids-missing-devicetree", "hwids-ambiguous-devicetree"},
    ),
}


def complaints(*paths: Path) -> set[str]:
    """What is found of an image and its addons."""
    return {finding.rule for finding in check(new_host(), [inspect(path) for path in paths])}


@pytest.fixture(scope="module")
def directory(tmp_path_factory, lay_out) -> Path:
    place: Path = lay_out(tmp_path_factory.mktemp("quiet"))
    (place / "stub-aa64").symlink_to(parts.get("stub-aa64"))
    (place / "vmlinuz-aa64").symlink_to(parts.get("kernel-aa64"))
    return place


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_of_debian_s_is_only_told_to_be_no_image(name: str):
    findings = check(new_host(), [inspect(parts.get(name))])
    assert [(finding.rule, finding.severity) for finding in findings] == [("no-image", Severity.NOTE)]


@pytest.mark.parametrize("name", UKIFY)
def test_an_image_of_ukify_s_gets_no_complaint(directory: Path, ukify, name: str):
    arguments, notes = UKIFY[name]
    ukify("build", *arguments, "--output=ukify.efi", cwd=directory)
    assert complaints(directory / "ukify.efi") == notes


def test_an_image_of_ukify_s_with_profiles_and_an_addon_gets_no_complaint(directory: Path, ukify):
    for name in ("one", "two"):
        profile = ("--stub=addon-stub", f"--profile=ID={name}", f"--cmdline={name}", "--hwids=", f"--output={name}.efi")
        ukify("build", *profile, cwd=directory)
    joined = ("--join-profile=one.efi", "--join-profile=two.efi", "--profile=ID=main")
    image = ("--stub=stub", "--linux=vmlinuz", "--hwids=", *PLAIN, *joined, "--output=profiles.efi")
    ukify("build", *image, cwd=directory)
    release = os.path.realpath(parts.get("kernel-x64")).rpartition("vmlinuz-")[2]
    addon = ("--stub=addon-stub", "--cmdline=debug", f"--uname={release}", "--hwids=", "--output=a.addon.efi")
    ukify("build", *addon, cwd=directory)
    assert complaints(directory / "profiles.efi", directory / "a.addon.efi") == set()


SLICES = """
[[fuki.profile]]
id = "debug"
cmdline = "debug"
[[fuki.addon]]
name = "serial"
cmdline = "console=ttyS0"
"""
OURS: dict[str, dict[str, Any]] = {
    "x64": {},
    "x64 on 257": {"stub": "stub-257"},
    "aa64": {
        "stub": "stub-aa64",
        "linux": "vmlinuz-aa64",
        "dtb": "machine.dtb",
        "dtbauto": ["first.dtb", "second.dtb"],
    },
}


@pytest.mark.parametrize("name", OURS)
def test_an_image_of_ours_gets_no_complaint_planned_and_finished(directory: Path, name: str):
    image: dict[str, Any] = {
        "initrd": ["early.img", "late.img"],
        "cmdline": "root=LABEL=root quiet",
        "os_release": "os-release",
        "ucode": "ucode.img",
        "splash": "splash.bmp",
    }
    (directory / "fuki.toml").write_text(recipe(SLICES, name="quiet", **image | OURS[name]))
    assert "nothing to complain about" in succeed(directory, "check").err
    succeed(directory, "build")
    assert complaints(directory / "quiet.efi", directory / "quiet.efi.extra.d" / "serial.addon.efi") == set()
