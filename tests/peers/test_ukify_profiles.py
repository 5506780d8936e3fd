"""Profiles and addons of fuki and of ukify 262.1 from the same input."""

import filecmp
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from fuki_build.testing import recipe

IMAGE = recipe(silence=["addon-uname"], initrd=["early.img"], cmdline="root=LABEL=root", os_release="os-release")

PROFILES = """
title = "Acme, as usual"

[[fuki.profile]]
id = "debug"
title = 'Debug "shell"'
cmdline = "root=LABEL=root  systemd.debug_shell=1"

[[fuki.profile]]
id = "rescue"
linux = "vmlinuz"
initrd = ["odd.img", "late.img"]
os-release = { text = "ID=rescue\\n" }
cmdline = { file = "cmdline.txt" }
ucode = "ucode.img"
splash = "splash.bmp"
dtb = "machine.dtb"

[[fuki.profile]]
id = "empty"
"""

BASE_PROFILE = 'ID=main\nTITLE="Acme, as usual"\n'
PROFILE_ARGUMENTS = {
    "debug": (
        'ID=debug\nTITLE="Debug \\"shell\\""\n',
        ["--cmdline=root=LABEL=root systemd.debug_shell=1"],
    ),
    "rescue": (
        "ID=rescue\n",
        [
            "--linux=vmlinuz",
            "--initrd=odd.img",
            "--initrd=late.img",
            "--os-release=ID=rescue\n",
            "--cmdline=@cmdline.txt",
            "--microcode=ucode.img",
            "--splash=splash.bmp",
            "--devicetree=machine.dtb",
        ],
    ),
    "empty": ("ID=empty\n", []),
}


@dataclass(frozen=True)
class Pair:
    ours: Path
    theirs: Path


@pytest.fixture(scope="module")
def pair(tmp_path_factory, lay_out, build, ukify) -> Pair:
    """An image with profiles, by fuki and by ukify, which makes each profile as a file and joins them."""
    directory = lay_out(tmp_path_factory.mktemp("profiles"))
    (directory / "fuki.toml").write_text(IMAGE + PROFILES)

    for name, (profile, arguments) in PROFILE_ARGUMENTS.items():
        output = f"--output={name}.profile.efi"
        ukify("build", "--stub=addon-stub", f"--profile={profile}", "--hwids=", *arguments, output, cwd=directory)

    ukify(
        "build",
        "--stub=stub",
        "--linux=vmlinuz",
        "--initrd=early.img",
        "--cmdline=root=LABEL=root",
        "--os-release=@os-release",
        "--hwids=",
        f"--profile={BASE_PROFILE}",
        *(f"--join-profile={name}.profile.efi" for name in PROFILE_ARGUMENTS),
        "--output=ukify.efi",
        cwd=directory,
    )

    return Pair(build(directory), directory / "ukify.efi")


def test_each_profile_has_the_sections_of_ukify_in_its_order(pair, pe):
    ours, theirs = pe(pair.ours), pe(pair.theirs)
    assert ours.profiles == theirs.profiles
    assert ours.sections == theirs.sections
    assert ours.names(2) == [
        ".profile", ".osrel", ".cmdline", ".dtb", ".uname", ".splash", ".linux", ".initrd", ".ucode"
    ]  # fmt: skip


def test_an_image_with_profiles_is_ukify_s_byte_for_byte(pair):
    assert filecmp.cmp(pair.ours, pair.theirs, shallow=False)


def test_profiles_are_told_as_by_ukify_inspect(pair, ukify):
    told = json.loads(ukify("inspect", pair.ours, "--json=short"))
    texts = [profile[".profile"]["text"] for profile in told["_profiles"]]
    assert texts == [BASE_PROFILE, *(profile for profile, _ in PROFILE_ARGUMENTS.values())]


@pytest.fixture(scope="module")
def machines(tmp_path_factory, lay_out, build, ukify) -> Pair:
    """A profile with everything that machines choose from, and ukify's file of that profile before it is joined."""
    directory = lay_out(tmp_path_factory.mktemp("machines"))
    (directory / "fuki.toml").write_text(
        IMAGE
        + """
[[fuki.profile]]
id = "machines"
dtbauto = ["first.dtb", "second.dtb"]
hwids = "machines"
pcrpkey = "pcr.pem"
[fuki.profile.sections]
".note" = { text = "built for a test" }
[[fuki.profile.firmware]]
source = "directory"
path = "firmware/ovmf-amdsev"
[[fuki.profile.firmware]]
source = "directory"
path = "firmware/ovmf-generic"
"""
    )

    ukify(
        "build",
        "--stub=addon-stub",
        "--profile=ID=machines\n",
        "--devicetree-auto=first.dtb",
        "--devicetree-auto=second.dtb",
        "--hwids=machines",
        "--pcrpkey=pcr.pem",
        "--section=.note:built for a test",
        "--efifw=firmware/ovmf-amdsev",
        "--efifw=firmware/ovmf-generic",
        "--output=machines.profile.efi",
        cwd=directory,
    )

    arguments = ["--stub=stub", "--linux=vmlinuz", "--os-release=", "--hwids=", "--output=joined.efi"]
    ukify("build", *arguments, "--join-profile=machines.profile.efi", cwd=directory)
    return Pair(build(directory), directory / "machines.profile.efi")


def test_a_profile_holds_what_ukify_puts_into_its_file(machines, pe):
    ours, theirs = pe(machines.ours), pe(machines.theirs)
    names = [".profile", ".dtbauto", ".dtbauto", ".hwids", ".pcrpkey", ".efifw", ".efifw", ".note"]
    assert ours.names(1) == theirs.names(0) == names
    assert ours.slice(1) == theirs.slice(0)


def test_a_profile_keeps_what_ukify_loses_when_it_joins(machines, pe):
    joined = pe(machines.theirs.with_name("joined.efi"))
    assert set(pe(machines.ours).names(1)) - set(joined.names(1)) == {".dtbauto", ".hwids", ".pcrpkey", ".note"}


ADDONS = """
[[fuki.addon]]
name = "on-stub"
stub = "addon-stub"
cmdline = "  console=ttyS0   quiet "
dtb = "machine.dtb"
initrd = ["odd.img", "late.img"]
ucode = "ucode.img"

[[fuki.addon]]
name = "bare"
cmdline = "  console=ttyS0   quiet "
dtb = "machine.dtb"
initrd = ["odd.img", "late.img"]
ucode = "ucode.img"

[[fuki.addon]]
name = "own-sbat"
stub = "addon-stub"
cmdline = "quiet"
sbat = { file = "sbat.csv" }

[[fuki.addon]]
name = "machines"
stub = "addon-stub"
dtbauto = ["first.dtb", "second.dtb"]
hwids = "one-machine"
uname = "6.0-of-the-recipe"
"""

_MORE = [
    "--cmdline=console=ttyS0 quiet",
    "--devicetree=machine.dtb",
    "--initrd=odd.img",
    "--initrd=late.img",
    "--microcode=ucode.img",
    "--hwids=",
]
ADDON_ARGUMENTS = {
    "on-stub": _MORE,
    "own-sbat": ["--cmdline=quiet", "--sbat=@sbat.csv", "--hwids="],
    "machines": [
        "--devicetree-auto=first.dtb",
        "--devicetree-auto=second.dtb",
        "--hwids=one-machine",
        "--uname=6.0-of-the-recipe",
    ],
}


@pytest.fixture(scope="module")
def addons(tmp_path_factory, lay_out, build) -> Path:
    """The directory with fuki's addons, beside the input that they were made from."""
    directory = lay_out(tmp_path_factory.mktemp("addons"))
    (directory / "one-machine").mkdir()
    machine = "x1e80100-crd.json"
    (directory / "one-machine" / machine).write_bytes((directory / "hwids" / machine).read_bytes())
    (directory / "fuki.toml").write_text(IMAGE + ADDONS)
    return build(directory).with_name("image.efi.extra.d")


@pytest.mark.parametrize("name", ADDON_ARGUMENTS)
def test_an_addon_is_ukify_s_byte_for_byte(addons, ukify, pe, name):
    directory = addons.parent
    ukify("build", "--stub=addon-stub", *ADDON_ARGUMENTS[name], f"--output={name}.efi", cwd=directory)
    ours, theirs = addons / f"{name}.addon.efi", directory / f"{name}.efi"
    assert pe(ours).sections == pe(theirs).sections
    assert filecmp.cmp(ours, theirs, shallow=False)


def test_an_addon_without_a_stub_has_the_sections_of_ukify_s_on_the_stub(addons, ukify, pe):
    ukify("build", "--stub=addon-stub", *_MORE, "--output=theirs.efi", cwd=addons.parent)
    ours, theirs = pe(addons / "bare.addon.efi"), pe(addons.parent / "theirs.efi")
    assert ours.slice() == theirs.slice()


@pytest.mark.parametrize("name", ["bare", "on-stub"])
def test_ukify_inspect_accepts_an_addon(addons, ukify, pe, name):
    told = json.loads(ukify("inspect", addons / f"{name}.addon.efi", "--all", "--json=short"))
    assert told[".cmdline"]["text"] == "console=ttyS0 quiet"
    read = pe(addons / f"{name}.addon.efi").sections
    assert [(key, value["sha256"]) for key, value in told.items()] == [(s.name, s.sha256) for s in read]


def test_an_addon_without_a_stub_has_the_headers_of_systemd_s_where_they_tell_what_it_is(addons, pe):
    bare, on_stub = pe(addons / "bare.addon.efi").headers, pe(addons / "on-stub.addon.efi").headers
    for key in ("Machine", "Magic", "Subsystem", "SectionAlignment", "FileAlignment"):
        assert bare[key] == on_stub[key], key
