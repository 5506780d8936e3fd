"""Every example is run as it stands, on real parts."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pefile
import pytest

from fuki_build.builtin import apt
from fuki_build.recipe.load import NAMES as RECIPES
from tests.docs.pages import blocks

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
FOLDERS = sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir())
NAMES = [name for name in FOLDERS if any((EXAMPLES / name / file).is_file() for file in RECIPES)]
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
    document = json.loads(run(project, "fuki", "build", "--json"))
    for result in document.get("cells", [document]):
        assert result["artifacts"]
        assert all((project / artifact["path"]).is_file() for artifact in result["artifacts"])
        assert {finding["severity"] for finding in result["build"]["findings"]} <= {"note"}


@pytest.mark.parametrize("name", FOLDERS)
def test_the_example_is_listed_in_the_folder_s_readme(name: str):
    assert f"]({name})" in (EXAMPLES / "README.md").read_text()


COMMANDS = {
    "make": ("make",),
    "meson": ("ninja", "-C", "build"),
    "ninja": ("ninja",),
}


@pytest.mark.parametrize("name", COMMANDS)
class TestBuildSystems:
    """make, Meson and ninja with an initrd and a command line that they generate."""

    @pytest.fixture
    def built(self, copy: Copy, name: str) -> Path:
        project = copy(name)
        if name == "meson":
            run(project, "meson", "setup", "build")
        run(project, *COMMANDS[name])
        return project

    def rebuilds(self, project: Path) -> bool:
        """Whether the build system runs fuki again, by the image's inode: each build makes a new file."""
        before = (project / "build/appliance.efi").stat().st_ino
        run(project, *COMMANDS[project.name])
        return (project / "build/appliance.efi").stat().st_ino != before

    def test_the_image_has_what_was_generated_and_a_second_build_does_nothing(self, built: Path):
        image = "build/appliance.efi"
        assert run(built, "fuki", "inspect", image, "--extract", ".cmdline", "-o", "-").split() == [
            "root=LABEL=root",
            "ro",
            "console=ttyS0",
        ]
        assert "VARIANT_ID=stable" in run(built, "fuki", "inspect", image, "--extract", ".osrel", "-o", "-")
        run(built, "fuki", "inspect", image, "--extract", ".initrd", "-o", "initrd.cpio")
        assert run(built, "cpio", "--quiet", "-t", "-F", "initrd.cpio").split() == [".", "etc", "etc/initrd-release"]
        assert not self.rebuilds(built)

    @pytest.mark.parametrize("file", ["initrd/etc/initrd-release", "parts/vmlinuz", "fuki.toml"])
    def test_a_touched_input_rebuilds(self, built: Path, file: str):
        # A link to a part that others use, too, is replaced by a file.
        if (built / file).is_symlink():
            content = (built / file).read_bytes()
            (built / file).unlink()
            (built / file).write_bytes(content)
        newer(built / file, than=built / "build/appliance.efi")
        assert self.rebuilds(built)

    def test_another_command_line_rebuilds(self, built: Path, name: str):
        if name == "ninja":
            rules = built / "build.ninja"
            rules.write_text(rules.read_text().replace("root = LABEL=root", "root = LABEL=other"))
            run(built, "ninja")
        elif name == "make":
            run(built, "make", "ROOT=LABEL=other")
        else:
            run(built, "meson", "configure", "build", "-Droot=LABEL=other")
            run(built, "ninja", "-C", "build")
        text = run(built, "fuki", "inspect", "build/appliance.efi", "--extract", ".cmdline", "-o", "-")
        assert "root=LABEL=other" in text

    def test_a_second_file_beside_the_firmware_is_noticed(self, built: Path, name: str):
        directory = built / "parts/firmware/ovmf-generic"
        (directory / "other.fd").write_text("")
        newer(directory, than=built / "build/appliance.efi")
        with pytest.raises(AssertionError, match="must hold exactly one file"):
            run(built, *COMMANDS[name])

    def test_an_unrelated_file_does_not_rebuild(self, built: Path):
        (built / "notes.txt").write_text("unrelated")
        newer(built / "notes.txt", than=built / "build/appliance.efi")
        assert not self.rebuilds(built)


def newer(path: Path, *, than: Path) -> None:
    """Set the modification time a second after another file's, whatever the clock says."""
    time = than.stat().st_mtime_ns + 1_000_000_000
    os.utime(path, ns=(time, time))


class TestPlugins:
    """The page that explains the worked plugin has its files as they are."""

    PAGE = "docs/tutorial/first-plugin.md"
    PLUGIN = EXAMPLES / "plugins" / "fuki-acme"

    def shown(self) -> dict[str, str]:
        files = {block.directives.get("file", ""): block.text for block in blocks(self.PAGE)}
        return {name.removeprefix("fuki-acme/"): text for name, text in files.items() if name.startswith("fuki-acme/")}

    def test_every_file_is_on_the_page_and_no_other(self):
        command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=self.PLUGIN, capture_output=True, text=True, check=False).stdout.split()
        # A source distribution is no git repository.
        there = listed or [
            path.relative_to(self.PLUGIN).as_posix()
            for path in self.PLUGIN.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        ]
        assert sorted(self.shown()) == sorted(there)

    def test_each_file_is_as_the_page_shows_it(self):
        for name, text in self.shown().items():
            assert (self.PLUGIN / name).read_text() == text.removesuffix("\n" if text == "\n" else ""), name


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


class TestMatrix:
    def test_each_image_has_the_stub_kernel_firmware_and_words_of_its_cell(self, copy: Copy):
        project = copy("matrix")
        run(project, "fuki", "build")
        for arch, machine, firmware, console in (
            ("x64", 0x8664, "ovmf-generic/OVMF.fd", "ttyS0"),
            ("aa64", 0xAA64, "aavmf/QEMU_EFI.fd", "ttyAMA0"),
        ):
            kernel = (project / f"parts/vmlinuz-{arch}").read_bytes()
            (payload,) = (
                path.read_bytes() for path in (project / "parts/firmware").rglob(firmware) if "amd" not in str(path)
            )
            for cloud, source in (("aws", "Ec2"), ("gcp", "GCE")):
                image = pefile.PE(project / f"out/appliance_1_{arch}-{cloud}.efi", fast_load=True)
                contents = {s.Name.rstrip(b"\0"): s.get_data()[: s.Misc_VirtualSize] for s in image.sections}
                assert image.FILE_HEADER.Machine == machine
                assert contents[b".linux"] == kernel
                assert contents[b".efifw"].endswith(payload)
                assert contents[b".cmdline"].startswith(f"root=LABEL=root ro console={console} ds={source}".encode())
                delayed = b"rootdelay" in contents[b".cmdline"]
                assert delayed == ((arch, cloud) == ("aa64", "gcp"))


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
