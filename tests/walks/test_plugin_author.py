"""The walk of a plugin's author, from a fresh environment, and what came of it held against other readers."""

import hashlib
import json
import os
import subprocess
from pathlib import Path

import parts
import pefile
import pytest

from tests.support.installed import CHECKOUT, wheel

SCRIPT = Path(__file__).parent / "plugin-author.sh"
ACME = CHECKOUT / "examples" / "plugins" / "fuki-acme"


def environment() -> dict[str, str]:
    """That of somebody who has not set up any Python."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV", "FUKI_"))}


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory in which the script has run."""
    directory = tmp_path_factory.mktemp("walk")
    for name, part in (("linux.efi.stub", "stub-x64"), ("vmlinuz", "kernel-x64"), ("OVMF.fd", "ovmf-generic")):
        (directory / name).symlink_to(parts.get(part))
    done = subprocess.run(
        [SCRIPT, wheel(tmp_path_factory)],
        cwd=directory,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    (directory / "log").write_text(done.stdout)
    assert done.returncode == 0, done.stdout
    return directory


def test_the_tests_of_all_six_plugins_ran(walk: Path):
    passed = [line for line in (walk / "log").read_text().splitlines() if " passed in " in line]
    assert len(passed) == 6
    assert not [line for line in passed if "failed" in line or "skipped" in line]


def test_the_image_is_signed_with_the_key_of_the_store(walk: Path):
    done = subprocess.run(["sbverify", "--cert", walk / "db.crt", walk / "walk.efi"], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_its_machine_selects_the_release_that_the_source_fetched(walk: Path):
    (match,) = json.loads((walk / "match.json").read_text())["matches"]
    assert match["firmware"]["fwid"] == "q35"
    image = pefile.PE(walk / "walk.efi")
    (firmware,) = (section for section in image.sections if section.Name.rstrip(b"\0") == b".efifw")
    content = firmware.get_data()[: firmware.Misc_VirtualSize]
    assert content.endswith((walk / "releases/q35.fd").read_bytes())


def test_the_output_has_the_digests_of_the_sections(walk: Path):
    image = pefile.PE(walk / "walk.efi")
    contents = {s.Name.rstrip(b"\0").decode(): s.get_data()[: s.Misc_VirtualSize] for s in image.sections}
    lines = (line.split("  ") for line in (walk / "walk.txt").read_text().splitlines())
    told = {name: digest for digest, name in lines}
    for name in (".linux", ".cmdline", ".osrel", ".hwids", ".efifw"):
        assert told[name] == hashlib.sha256(contents[name]).hexdigest()


def test_the_check_found_what_it_looks_for(walk: Path):
    log = (walk / "log").read_text()
    assert log.count("warning: .cmdline: after a panic, the kernel waits for ever [walk-check-panic]") == 3


def test_the_launches_are_those_that_the_recipe_s_hardware_measures(walk: Path):
    rows = json.loads((walk / "launch.json").read_text())["launches"]
    firmware = (walk / "releases/q35.fd").read_bytes()
    pages = [hashlib.sha384(firmware[at : at + 4096]).hexdigest() for at in range(0, len(firmware), 4096)]
    for row in rows:
        register = bytes(48)
        for text in (*pages, f"{row['vcpus']:x}"):
            register = hashlib.sha384(register + text.encode()).digest()
        assert row["digest"] == register.hex()
    assert [row["vcpus"] for row in rows] == [1, 2]


def test_the_worked_plugin_is_installed_and_its_tests_pass(walk: Path):
    programs = walk / "environment" / "bin"
    subprocess.run([programs / "pip", "install", "--quiet", ACME], env=environment(), check=True, capture_output=True)
    command = [str(programs / "python"), "-m", "pytest", "-q", "-p", "no:cacheprovider", str(ACME / "tests")]
    done = subprocess.run(command, cwd=walk, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert " passed in " in done.stdout
    assert "skipped" not in done.stdout
