"""Inputs below /proc and /sys tell no size, and are read to the end by every key and verb that names one."""

from pathlib import Path

import pytest

from fuki_build.testing import invoke, refused, succeed
from tests.conftest import RECIPE

VERSION = Path("/proc/version")
ONLINE = Path("/sys/devices/system/cpu/online")
ENDLESS = "/proc/self/pagemap"

_KEYS = {
    "cmdline": ('cmdline = "root=LABEL=root ro"', 'cmdline = {{ file = "{}" }}', ".cmdline"),
    "initrd": ('initrd = ["initrd.img"]', 'initrd = ["{}"]', ".initrd"),
    "os-release": ('os-release = "os-release"', 'os-release = "{}"', ".osrel"),
    "sections": ('os-release = "os-release"', 'os-release = "os-release"\nsections = {{ ".blob" = "{}" }}', ".blob"),
}


def recipe(key: str, path: object) -> str:
    old, new, _ = _KEYS[key]
    assert old in RECIPE
    return RECIPE.replace(old, new.format(path))


@pytest.mark.parametrize("path", [VERSION, ONLINE], ids=str)
@pytest.mark.parametrize("key", ["cmdline", "initrd", "sections"])
def test_a_section_has_all_of_it(workshop, key, path):
    (workshop / "fuki.toml").write_text(recipe(key, path) + '[[fuki.output]]\nformat = "manifest"\npath = "m.json"\n')
    succeed(workshop, "build", "-o", "u.efi", "--only", "uki", "--only", "manifest")
    succeed(workshop, "inspect", "u.efi", "--extract", _KEYS[key][2], "-o", "content")
    assert (workshop / "content").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("key", _KEYS)
def test_one_without_an_end_is_refused_at_its_place(workshop, key):
    (workshop / "fuki.toml").write_text(recipe(key, ENDLESS))
    error = refused(workshop, "build")
    assert f"fuki.image.{key}" in error
    assert "hint: copy it to a file" in error


def test_firmware_is_what_the_file_holds(tmp_path):
    assert f"({len(VERSION.read_bytes())} bytes)" in succeed(tmp_path, "firmware", "show", VERSION).out


@pytest.mark.parametrize(
    "arguments",
    [
        ("inspect", ENDLESS),
        ("plan", ENDLESS),
        ("verify", ENDLESS),
        ("replay", ENDLESS),
        ("firmware", "show", ENDLESS),
        ("hwids", "decode", ENDLESS),
        ("machine", "show", ENDLESS),
        ("report", ENDLESS, "-o", "out"),
        ("sign", "vmlinuz", "-o", "out", "--key", ENDLESS, "--certificate", ENDLESS),
        ("attach", "vmlinuz", "--signatures", ENDLESS, "-o", "out"),
        ("keys", "update", "db", ENDLESS, "-o", "out", "--key", "os-release"),
    ],
    ids=" ".join,
)
def test_a_verb_refuses_one_without_an_end(workshop, arguments):
    outcome = invoke(workshop, *arguments)
    assert outcome.code in (1, 2, 4)
    assert "says that it has 0 bytes, and has another size" in outcome.err
    assert "hint: copy it to a file" in outcome.err
    assert not (workshop / "out").exists()
