"""The built-in firmware sources, with real firmware."""

import hashlib
import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from fuki_build.builtin import apt
from fuki_build.testing import refused, succeed
from tests.conftest import RECIPE
from tests.support.workshop import workshop_recipe

OUTPUTS = """\
[[fuki.output]]
format = "uki"
path = "a.efi"
[[fuki.output]]
format = "manifest"
path = "m.json"
"""


@pytest.fixture
def source(workshop):
    """Write a recipe with one firmware table."""

    def source(text: str, *, silence: Sequence[str] = ()) -> None:
        firmware = f'[[fuki.firmware]]\nplatforms = ["qemu"]\n{text}\n'
        (workshop / "fuki.toml").write_text(workshop_recipe(firmware + OUTPUTS, silence=silence))

    return source


@pytest.fixture
def firmware(part):
    return part("ovmf-generic").read_bytes()


def built(workshop: Path) -> tuple[str, bytes, dict]:
    """Build; the firmware's id and content in the image, and the manifest."""
    succeed(workshop, "build")
    (image,) = json.loads(succeed(workshop, "inspect", "a.efi", "--json").out)["firmware"]
    succeed(workshop, "inspect", "a.efi", "--extract", "efifw", "-o", "firmware.out")
    return image["fwid"], (workshop / "firmware.out").read_bytes(), json.loads((workshop / "m.json").read_text())


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class TestDirectory:
    def test_the_directorys_name_is_the_id(self, workshop, source, firmware):
        (workshop / "firmware/ovmf-x").mkdir(parents=True)
        (workshop / "firmware/ovmf-x/some name.fd").write_bytes(firmware)
        source('source = "directory"\npath = "firmware/ovmf-x"')
        assert built(workshop)[:2] == ("ovmf-x", firmware)

    def test_the_recipe_may_give_another_id(self, workshop, source, firmware):
        (workshop / "ovmf").mkdir()
        (workshop / "ovmf/OVMF.fd").write_bytes(firmware)
        source('source = "directory"\npath = "ovmf"\nid = "other"')
        assert built(workshop)[0] == "other"

    def test_a_path_that_ends_in_dots_has_the_real_directorys_name(self, workshop, source, firmware):
        (workshop / "ovmf/below").mkdir(parents=True)
        (workshop / "one").mkdir()
        (workshop / "one/OVMF.fd").write_bytes(firmware)
        source('source = "directory"\npath = "ovmf/../one/."')
        assert built(workshop)[0] == "one"

    def test_the_directory_is_a_dependency_so_that_a_second_file_is_noticed(self, workshop, source, firmware):
        (workshop / "ovmf").mkdir()
        (workshop / "ovmf/OVMF.fd").write_bytes(firmware)
        source('source = "directory"\npath = "ovmf"')
        succeed(workshop, "build", "--depfile", "d")
        lines = {line.strip(" \\") for line in (workshop / "d").read_text().splitlines()}
        assert {"ovmf", "ovmf/OVMF.fd"} <= lines


class TestFile:
    def test_a_file_goes_in_as_it_is(self, workshop, source, firmware):
        (workshop / "OVMF.fd").write_bytes(firmware)
        source('source = "file"\nid = "ovmf"\npath = "OVMF.fd"')
        fwid, content, manifest = built(workshop)
        assert (fwid, content) == ("ovmf", firmware)
        assert {"name": "OVMF.fd", "where": "fuki.firmware[0]", "sha256": sha256(firmware)} in manifest["inputs"]


class TestCommand:
    def test_what_a_program_prints_goes_in(self, workshop, source, firmware):
        (workshop / "OVMF.fd").write_bytes(firmware)
        source('source = "command"\nid = "made"\ncommand = ["cat", "OVMF.fd"]')
        fwid, content, manifest = built(workshop)
        assert (fwid, content) == ("made", firmware)
        assert manifest["firmware"]["made"] == {"source": "command", "command": "cat", "sha256": sha256(firmware)}

    def test_what_a_program_writes_goes_in(self, workshop, source, firmware):
        (workshop / "OVMF.fd").write_bytes(firmware)
        source('source = "command"\nid = "made"\ncommand = ["cp", "OVMF.fd", "{output}"]')
        assert built(workshop)[:2] == ("made", firmware)

    def test_two_programs_do_not_write_over_each_other(self, workshop, firmware, part):
        (workshop / "one.fd").write_bytes(firmware)
        (workshop / "two.fd").write_bytes(part("ovmf-amdsev").read_bytes())

        tables = [
            f'[[fuki.firmware]]\nsource = "command"\nid = "{name}"\ncommand = ["cat", "{name}.fd"]\n'
            f'platforms = ["qemu:{machine}"]\n'
            for name, machine in (("one", "q35"), ("two", "i440fx"))
        ]

        (workshop / "fuki.toml").write_text(RECIPE + "".join(tables) + OUTPUTS)
        succeed(workshop, "build")

        for name in ("one", "two"):
            succeed(workshop, "inspect", "a.efi", "--extract", f"efifw:{name}", "-o", "out")
            assert (workshop / "out").read_bytes() == (workshop / f"{name}.fd").read_bytes()

    def test_the_right_digest_is_accepted(self, workshop, source, firmware):
        (workshop / "OVMF.fd").write_bytes(firmware)
        source(f'source = "command"\nid = "made"\ncommand = ["cat", "OVMF.fd"]\nsha256 = "{sha256(firmware)}"')
        assert built(workshop)[1] == firmware

    def test_another_digest_is_refused_and_both_are_told(self, workshop, source, firmware):
        (workshop / "OVMF.fd").write_bytes(firmware)
        source(f'source = "command"\nid = "made"\ncommand = ["cat", "OVMF.fd"]\nsha256 = "{"0" * 64}"')
        error = refused(workshop, "build")
        assert "fuki.firmware[0]: cat made an image with SHA-256" in error
        assert sha256(firmware) in error
        assert "0" * 64 in error

    def test_a_digest_that_is_none_is_refused(self, workshop, source):
        source('source = "command"\nid = "made"\ncommand = ["true"]\nsha256 = "abc"')
        assert "fuki.firmware[0].sha256" in refused(workshop, "build")

    def test_a_program_that_fails_is_told_with_its_last_words(self, workshop, source):
        source("""source = "command"\nid = "made"\ncommand = ["sh", "-c", "echo first >&2; echo last >&2; exit 3"]""")
        error = refused(workshop, "build")
        assert "fuki.firmware[0]: sh failed with exit code 3" in error
        assert "last" in error

    def test_a_program_that_is_not_there_is_told(self, workshop, source):
        source('source = "command"\nid = "made"\ncommand = ["no-such-program-of-fuki"]')
        assert "fuki.firmware[0]: cannot run no-such-program-of-fuki" in refused(workshop, "build")

    def test_a_program_that_prints_nothing_is_told(self, workshop, source):
        source('source = "command"\nid = "made"\ncommand = ["true"]')
        assert "fuki.firmware[0]: the firmware " in refused(workshop, "build")

    def test_a_program_that_takes_its_output_away_is_told(self, workshop, source):
        source('source = "command"\nid = "made"\ncommand = ["rm", "{output}"]')
        assert "fuki.firmware[0]: " in refused(workshop, "build")

    def test_an_empty_command_is_refused(self, workshop, source):
        source('source = "command"\nid = "made"\ncommand = []')
        assert "fuki.firmware[0].command" in refused(workshop, "build")

    def test_the_environment_holds_only_what_is_documented(self, workshop, source, monkeypatch):
        monkeypatch.setenv("FUKI_TEST_SECRET", "secret")
        monkeypatch.setenv("TZ", "Asia/Tokyo")
        monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
        monkeypatch.setenv("SOURCE_DATE_EPOCH", "12345")
        source('source = "command"\nid = "made"\ncommand = ["env", "-0"]', silence=["firmware-unknown"])
        content = built(workshop)[1].decode()

        environment = dict(line.split("=", 1) for line in content.split("\0") if line)
        assert environment == {
            "PATH": os.environ["PATH"],
            "HOME": os.environ["HOME"],
            "SOURCE_DATE_EPOCH": "12345",
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
        }

    def test_it_runs_in_the_recipes_directory_without_input(self, workshop, source, firmware, tmp_path):
        (workshop / "OVMF.fd").write_bytes(firmware)
        source("""source = "command"\nid = "made"\ncommand = ["sh", "-c", "cat - OVMF.fd"]""")
        succeed(tmp_path, "build", workshop)
        assert (workshop / "a.efi").is_file()

    def test_a_program_that_does_not_end_is_ended(self, workshop, source):
        source("""source = "command"\nid = "made"\ncommand = ["sleep", "600"]\ntimeout = 0.3""")
        assert "fuki.firmware[0]: sleep was not done after 0.3 seconds" in refused(workshop, "build")

    def test_a_program_that_prints_without_end_is_ended(self, workshop, source, monkeypatch):
        monkeypatch.setattr("fuki_build.builtin.sources._MAX_IMAGE", 1_000_000)
        source("""source = "command"\nid = "made"\ncommand = ["cat", "/dev/zero"]""")
        assert "fuki.firmware[0]: cat printed more than 1000000 bytes" in refused(workshop, "build")

    def test_a_program_that_writes_without_end_is_ended(self, workshop, source, monkeypatch):
        monkeypatch.setattr("fuki_build.builtin.sources._MAX_FILE", 1_000_000)
        source("""source = "command"\nid = "made"\ncommand = ["dd", "if=/dev/zero", "of={output}", "status=none"]""")
        assert "fuki.firmware[0]: dd was ended by signal 25" in refused(workshop, "build")

    def test_declared_inputs_are_dependencies(self, workshop, source, firmware):
        (workshop / "OVMF.fd").write_bytes(firmware)
        source('source = "command"\nid = "made"\ncommand = ["cat", "OVMF.fd"]\ninputs = ["OVMF.fd"]')
        succeed(workshop, "build", "--depfile", "d")
        assert "  OVMF.fd" in (workshop / "d").read_text()
        assert "fuki-" not in (workshop / "d").read_text().replace("fuki-build", "")


PACKAGE = 'source = "deb"\npackage = "ovmf-generic"\nsuite = "sid"\n'
PATH = 'path = "usr/share/ovmf/OVMF.fd"\n'


@pytest.fixture(scope="module")
def deb():
    """The package that holds the part, in the cache."""
    return apt.download("ovmf-generic", suite="sid")


@pytest.fixture
def without_apt(tmp_path, monkeypatch):
    """A PATH with dpkg-deb and no apt: nothing can be downloaded."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("dpkg-deb", "tar", "xz", "zstd", "gzip", "rm"):
        for directory in os.environ["PATH"].split(":"):
            if (Path(directory) / name).exists() and not (programs / name).exists():
                (programs / name).symlink_to(Path(directory) / name)
    monkeypatch.setenv("PATH", str(programs))


def field(deb: Path, name: str) -> str:
    return subprocess.check_output(["dpkg-deb", "--field", deb, name], text=True).strip()


class TestDeb:
    def test_a_file_of_a_package_goes_in_and_its_version_is_told(self, workshop, source, firmware, deb):
        source(PACKAGE + PATH)
        fwid, content, manifest = built(workshop)
        assert (fwid, content) == ("ovmf-generic", firmware)
        assert manifest["firmware"]["ovmf-generic"] == {
            "source": "deb",
            "package": "ovmf-generic",
            "version": field(deb, "Version"),
            "sha256": sha256(deb.read_bytes()),
        }

    def test_a_path_that_resembles_none_is_answered_with_what_there_is(self, workshop, source):
        source(PACKAGE + 'path = "firmware.fd"')
        error = refused(workshop, "build")
        assert "has no file firmware.fd" in error
        assert "there are: usr/share/OVMF/" in error

    def test_a_misspelt_path_is_answered_with_the_nearest(self, workshop, source):
        source(PACKAGE + 'path = "usr/share/ovmf/OVFM.fd"')
        error = refused(workshop, "build")
        assert "has no file usr/share/ovmf/OVFM.fd" in error
        assert "usr/share/ovmf/OVMF.fd" in error

    def test_a_path_that_climbs_out_of_the_package_is_refused(self, workshop, source):
        source(PACKAGE + 'path = "../../../../../../etc/passwd"')
        assert "has no file" in refused(workshop, "build")

    def test_a_wrong_digest_is_refused_and_both_are_told(self, workshop, source, deb):
        source(f'{PACKAGE}{PATH}sha256 = "{"0" * 64}"')
        error = refused(workshop, "build")
        assert sha256(deb.read_bytes()) in error
        assert "0" * 64 in error

    @pytest.mark.usefixtures("without_apt")
    def test_a_pinned_package_in_the_cache_needs_no_apt(self, workshop, source, firmware, deb):
        pin = f'version = "{field(deb, "Version")}"\nsha256 = "{sha256(deb.read_bytes())}"\n'
        source(PACKAGE + PATH + pin)
        assert built(workshop)[1] == firmware

    @pytest.mark.usefixtures("without_apt")
    def test_an_unpinned_package_needs_apt(self, workshop, source):
        source(PACKAGE + PATH)
        assert "this machine has no apt" in refused(workshop, "build", code=1)

    def test_a_package_that_is_not_there_is_refused(self, workshop, source):
        source('source = "deb"\npackage = "no-such-package-of-fuki"\nsuite = "sid"\n' + PATH)
        error = refused(workshop, "build", code=1)
        assert "fuki.firmware[0]" in error
        assert "no-such-package-of-fuki" in error

    def test_a_version_that_is_not_there_is_refused(self, workshop, source):
        source(f'{PACKAGE}{PATH}version = "0.0.0-fuki"')
        error = refused(workshop, "build", code=1)
        assert "0.0.0-fuki" in error

    def test_a_package_name_that_is_an_option_is_refused(self, workshop, source):
        source('source = "deb"\npackage = "--help"\n' + PATH)
        assert "fuki.firmware[0].package" in refused(workshop, "build")

    @pytest.mark.parametrize("suite", ["../../../x", 'sid\\"; x', "sid\\n"])
    def test_a_suite_that_is_none_is_refused(self, workshop, source, suite):
        source(f'source = "deb"\npackage = "ovmf"\nsuite = "{suite}"\n{PATH}')
        assert "fuki.firmware[0]" in refused(workshop, "build")
