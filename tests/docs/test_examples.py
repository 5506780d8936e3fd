"""Every example is run as it stands, on real parts."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fuki_build.builtin import apt

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
NAMES = sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir())
PROGRAMS = Path(sys.executable).parent
Copy = Callable[[str], Path]


@pytest.fixture
def copy(tmp_path: Path, lay_out: Callable[[Path], None]) -> Copy:
    """`copy(name)` is a copy of an example with its parts laid out."""

    def copy(name: str) -> Path:
        directory = tmp_path / name
        shutil.copytree(EXAMPLES / name, directory, ignore=shutil.ignore_patterns("parts", "out"))
        lay_out(directory / "parts")
        return directory

    return copy


def run(directory: Path, *command: str, **environment: str) -> str:
    path = os.pathsep.join((str(PROGRAMS), os.environ["PATH"]))
    done = subprocess.run(
        command,
        cwd=directory,
        env={**os.environ, "PATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_the_example_builds_without_warnings(copy: Copy, name: str):
    project = copy(name)
    result = json.loads(run(project, "fuki", "build", "--json"))
    assert all((project / artifact["path"]).is_file() for artifact in result["artifacts"])
    assert {finding["severity"] for finding in result["build"]["findings"]} <= {"note"}


@pytest.mark.parametrize("name", NAMES)
def test_the_example_is_listed_in_the_folder_s_readme(name: str):
    assert f"]({name})" in (EXAMPLES / "README.md").read_text()


class TestMeson:
    @pytest.fixture
    def built(self, copy: Copy) -> Path:
        project = copy("meson")
        run(project, "meson", "setup", "build")
        run(project, "ninja", "-C", "build")
        return project

    def rebuilds(self, project: Path) -> bool:
        return "no work to do" not in run(project, "ninja", "-C", "build")

    def test_the_first_build_makes_the_image(self, built: Path):
        assert run(built, "fuki", "inspect", "--json", "build/appliance.efi")

    def test_a_second_build_does_nothing(self, built: Path):
        assert not self.rebuilds(built)

    @pytest.mark.parametrize("name", ["parts/initrd.img", "cmdline.txt", "fuki.toml"])
    def test_a_touched_input_rebuilds(self, built: Path, name: str):
        newer(built / name, than=built / "build/appliance.efi")
        assert self.rebuilds(built)

    def test_a_second_file_beside_the_firmware_is_noticed(self, built: Path):
        directory = built / "parts/firmware/ovmf-generic"
        (directory / "other.fd").write_text("")
        newer(directory, than=built / "build/appliance.efi")
        with pytest.raises(AssertionError, match="must hold exactly one file"):
            run(built, "ninja", "-C", "build")

    def test_an_unrelated_file_does_not_rebuild(self, built: Path):
        (built / "notes.txt").write_text("unrelated")
        newer(built / "notes.txt", than=built / "build/appliance.efi")
        assert not self.rebuilds(built)


def newer(path: Path, *, than: Path) -> None:
    """Set the modification time a second after another file's, whatever the clock says."""
    time = than.stat().st_mtime_ns + 1_000_000_000
    os.utime(path, ns=(time, time))


class TestMkosi:
    def test_the_section_says_the_same_as_a_toml_recipe(self, copy: Copy):
        uki = json.loads(run(copy("mkosi"), "fuki", "plan", "--json"))["images"][0]
        assert [profile["id"] for profile in uki["profiles"]] == ["main", "debug"]
        assert [firmware["fwid"] for firmware in uki["firmware"]] == ["ovmf-generic", "ovmf-amdsev"]

    def test_mkosi_reads_the_file_and_passes_over_the_section(self, copy: Copy, tmp_path: Path):
        unpacked = tmp_path / "mkosi-package"
        apt.unpack(apt.download("mkosi", suite="sid"), unpacked)
        library = str(unpacked / "usr/lib/python3/dist-packages")
        summary = run(copy("mkosi"), sys.executable, "-m", "mkosi", "--json", "summary", PYTHONPATH=library)
        (image,) = json.loads(summary)["Images"]
        assert (image["ImageId"], image["ImageVersion"]) == ("appliance", "1")


class TestTemplate:
    def test_the_text_has_the_hardware_ids_that_were_collected_from_qemu(self, copy: Copy):
        project = copy("template")
        run(project, "fuki", "build")
        text = (project / "out/appliance_1.md").read_text()
        assert "| QEMU q35 | 817fca52-ae83-52f5-8642-9497f79d49d0 | ovmf-generic |" in text
        assert "| QEMU i440fx | a141acf9-eb8a-52b7-b7c8-e94b402a1590 | ovmf-amdsev |" in text


class TestFleet:
    def test_each_machine_selects_its_firmware_through_an_id_that_was_collected_elsewhere(self, copy: Copy):
        project = copy("fleet")
        run(project, "fuki", "build")
        matched = run(project, "fuki", "match", "out/fleet_1.efi", "--recipe", "fuki.toml", "--json")
        selected = {
            row["machine"]: row["firmware"] and (row["firmware"]["fwid"], row["firmware"]["chid"])
            for row in json.loads(matched)["matches"]
        }
        assert selected == {
            "Google Compute Engine": ("ovmf-generic", "fa23da35-436a-5d5d-add2-bd549606b553"),
            "nova": ("ovmf-generic", "3d70122a-9f43-5bcc-b223-240b79ec14e6"),
            "workstation": ("ovmf-amdsev", "01e09b32-de05-56ca-b9d1-9486ad5f381d"),
            "QEMU q35": None,
            "QEMU i440fx": None,
        }

    def test_a_recipe_that_takes_a_machine_s_firmware_away_does_not_build(self, copy: Copy):
        project = copy("fleet")
        recipe = project / "fuki.toml"
        recipe.write_text(recipe.read_text().replace('platforms = ["gcp"]\n', ""))
        with pytest.raises(AssertionError, match="Google Compute Engine selects no firmware, expected is ovmf-generic"):
            run(project, "fuki", "build")
