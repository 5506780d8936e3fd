"""`fuki build`: what is written, where to, and what is told about it."""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from fuki_build import FukiError, build, plan
from fuki_build.testing import install_plugin, invoke, refused, succeed
from tests.conftest import RECIPE
from tests.support.rich import ADDONS, MANIFEST, UKI, WRITTEN, authenticode, make_rich, sections, sha256
from tests.support.workshop import workshop_recipe


@pytest.fixture
def rich(workshop, part):
    return make_rich(workshop, part)


def new_files(directory: Path, before: set[Path]) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()} - {
        str(path.relative_to(directory)) for path in before
    }


class TestWhere:
    def test_without_outputs_the_image_and_its_addons_are_written(self, workshop):
        (workshop / "fuki.toml").write_text(RECIPE + '[[fuki.addon]]\nname = "a"\ncmdline = "x"\n')
        before = set(workshop.rglob("*"))
        succeed(workshop, "build")
        assert new_files(workshop, before) == {"acme_41.3.efi", "acme_41.3.efi.extra.d/a.addon.efi"}

    def test_without_a_version_the_name_alone_names_the_image(self, workshop):
        (workshop / "fuki.toml").write_text(RECIPE.replace('version = "41.3"\n', ""))
        succeed(workshop, "build")
        assert (workshop / "acme.efi").is_file()

    def test_addons_and_manifest_stand_beside_the_image(self, rich):
        before = set(rich.rglob("*"))
        succeed(rich, "build")
        assert new_files(rich, before) == set(WRITTEN)

    def test_an_image_that_goes_elsewhere_takes_what_stands_beside_it_along(self, rich, tmp_path):
        before = set(rich.rglob("*"))
        succeed(rich, "build", "-o", tmp_path / "new/x.efi")
        assert new_files(tmp_path / "new", set()) == {
            "x.efi",
            "x.efi.extra.d/serial.addon.efi",
            "x.efi.extra.d/more.addon.efi",
            "x.manifest.json",
        }
        assert new_files(rich, before) == set()

    def test_output_is_relative_to_the_working_directory(self, rich, tmp_path):
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        succeed(elsewhere, "build", rich, "-o", "x.efi")
        assert (elsewhere / "x.efi").is_file()

    def test_a_path_in_the_recipe_is_relative_to_the_recipe(self, rich, tmp_path):
        succeed(tmp_path, "build", rich)
        assert (rich / UKI).is_file()

    def test_an_output_that_is_a_directory_is_refused(self, rich):
        (rich / UKI).mkdir(parents=True)
        assert "it is a directory" in refused(rich, "build", code=1)

    def test_an_output_below_a_file_is_refused(self, rich):
        assert "cannot write os-release/x.efi" in refused(rich, "build", "-o", "os-release/x.efi", code=1)


class TestOnly:
    def test_only_the_named_format_is_written(self, rich):
        before = set(rich.rglob("*"))
        succeed(rich, "build", "--only", "manifest")
        assert new_files(rich, before) == {MANIFEST}

    def test_several_formats_can_be_named(self, rich):
        before = set(rich.rglob("*"))
        succeed(rich, "build", "--only", "manifest", "--only", "addon")
        assert new_files(rich, before) == {MANIFEST, *ADDONS}

    def test_a_format_that_the_recipe_does_not_have_is_written_too(self, workshop):
        before = set(workshop.rglob("*"))
        succeed(workshop, "build", "--only", "manifest")
        assert new_files(workshop, before) == {"acme_41.3.manifest.json"}

    def test_the_only_output_goes_where_the_command_line_says(self, rich):
        succeed(rich, "build", "--only", "manifest", "-o", "m")
        assert json.loads((rich / "m").read_text())["name"] == "acme"

    def test_several_outputs_without_an_image_cannot_go_to_one_path(self, rich):
        error = refused(rich, "build", "--only", "manifest", "--only", "addon", "-o", "m")
        assert "--output: several outputs" in error

    def test_an_unknown_format_is_refused(self, rich):
        assert "no output format 'manifets'" in refused(rich, "build", "--only", "manifets")

    def test_a_manifest_alone_tells_the_same_as_one_beside_the_image(self, rich):
        succeed(rich, "build")
        first = (rich / MANIFEST).read_bytes()
        succeed(rich, "build", "--only", "manifest")
        assert (rich / MANIFEST).read_bytes() == first


class TestTalk:
    def test_people_are_told_what_was_written_on_standard_error(self, rich):
        outcome = succeed(rich, "build")
        assert outcome.out == ""
        assert [line.split()[1] for line in outcome.err.splitlines() if line.startswith("wrote")] == list(WRITTEN)

    def test_json_lists_the_artifacts_and_holds_the_manifest(self, rich):
        told = json.loads(succeed(rich, "build", "--json").out)
        assert isinstance(told["version"], int)
        assert [artifact["path"] for artifact in told["artifacts"]] == list(WRITTEN)
        assert [a["size"] for a in told["artifacts"]] == [(rich / path).stat().st_size for path in WRITTEN]
        assert told["build"] == json.loads((rich / MANIFEST).read_text())

    def test_json_tells_paths_with_odd_letters(self, rich):
        succeed(rich, "build", "-o", 'a "b" ü.efi')
        told = json.loads(succeed(rich, "build", "-o", 'a "b" ü.efi', "--json").out)
        assert told["artifacts"][0]["path"] == 'a "b" ü.efi'


class TestManifest:
    @pytest.fixture
    def manifest(self, rich):
        succeed(rich, "build")
        return json.loads((rich / MANIFEST).read_text())

    def test_every_input_has_its_digest(self, rich, manifest):
        read = {item["name"]: item["sha256"] for item in manifest["inputs"]}
        assert read.pop("command:two/firmware-0") == sha256((rich / "two.fd").read_bytes())
        assert set(read) == {"stub", "vmlinuz", "initrd.img", "more.img", "os-release", "one.fd", "two.fd"}
        for name, digest in read.items():
            assert digest == sha256((rich / name).read_bytes()), name

    def test_every_input_has_its_place_in_the_recipe(self, manifest):
        places = {(item["where"], item["name"]) for item in manifest["inputs"]}
        assert {
            ("fuki.image.stub", "stub"),
            ("fuki.image.linux", "vmlinuz"),
            ("fuki.image.initrd[0]", "initrd.img"),
            ("fuki.image.initrd[1]", "more.img"),
            ("fuki.firmware[0]", "one.fd"),
            ("fuki.profile[1].firmware[0]", "two.fd"),
            ("fuki.addon[1].initrd", "more.img"),
        } <= places

    def test_every_section_has_its_digest(self, rich, manifest):
        for image, path in zip(manifest["images"], (UKI, *ADDONS), strict=True):
            told = [(s["name"], s["sha256"]) for s in image["sections"]]
            assert told == [(name, sha256(content)) for name, _, _, _, _, content in sections(rich / path)]

    def test_every_image_has_its_authenticode_digest(self, rich, manifest):
        told = [image["authenticode"] for image in manifest["images"]]
        assert told == [authenticode(rich / path) for path in (UKI, *ADDONS)]

    def test_the_firmwares_origins_are_told(self, rich, manifest):
        digest = sha256((rich / "two.fd").read_bytes())
        assert manifest["firmware"] == {
            "one": {"source": "file"},
            "two": {"source": "command", "command": "cat", "sha256": digest},
            "three@2": {"source": "file"},
        }

    def test_hardware_ids_are_told(self, manifest):
        devices = {device["fwid"]: device["chids"] for device in manifest["images"][0]["devices"]}
        assert devices["three"] == ["01e09b32-de05-56ca-b9d1-9486ad5f381d"]

    def test_nothing_of_the_machine_is_in_it(self, rich):
        succeed(rich, "build")
        text = (rich / MANIFEST).read_text()
        assert str(rich) not in text
        assert "/tmp" not in text  # noqa: S108 - scratch directories lie there

    def test_findings_are_told(self, manifest):
        assert [finding["rule"] for finding in manifest["findings"]] == ["firmware-not-handed-over"]

    def test_it_has_a_version(self, manifest):
        assert isinstance(manifest["version"], int)


def depfile(path: Path) -> tuple[str, list[str]]:
    """Target and dependencies of a depfile, read by Make's rules."""
    target, _, rest = path.read_text().replace("\\\n", " ").partition(": ")
    names = rest.replace("\\ ", "\0").split()
    return target, [name.replace("\0", " ").replace("$$", "$").replace("\\#", "#") for name in names]


class TestDepfile:
    def test_it_lists_the_image_and_everything_that_decided_it(self, rich):
        succeed(rich, "build", "--depfile", "d")
        target, names = depfile(rich / "d")
        assert target == UKI
        own = {name for name in names if not name.startswith("/")}
        inputs = {"fuki.toml", "stub", "vmlinuz", "initrd.img", "more.img", "os-release", "one.fd", "two.fd"}
        assert own == inputs
        assert len(names) == len(set(names))

    def test_every_dependency_exists(self, rich):
        succeed(rich, "build", "--depfile", "d")
        assert all((rich / name).exists() for name in depfile(rich / "d")[1])

    def test_scratch_files_are_no_dependencies(self, rich):
        succeed(rich, "build", "--depfile", "d")
        assert not [name for name in depfile(rich / "d")[1] if "/fuki-" in name and name.startswith("/tmp")]  # noqa: S108

    def test_odd_names_are_escaped_for_make(self, workshop):
        (workshop / "init rd$#.img").write_bytes(b"x")
        (workshop / "fuki.toml").write_text(RECIPE.replace('"initrd.img"', '"init rd$#.img"'))
        succeed(workshop, "build", "--depfile", "d")
        assert "  init\\ rd$$\\#.img" in (workshop / "d").read_text()

    def test_a_build_that_fails_writes_none(self, workshop):
        (workshop / "fuki.toml").write_text(RECIPE.replace('"vmlinuz"', '"nope"'))
        refused(workshop, "build", "--depfile", "d")

    def test_a_template_and_what_it_includes_are_in_it(self, workshop):
        (workshop / "own.txt.j2").write_text("{% include 'parts/inner.j2' %}")
        (workshop / "parts").mkdir()
        (workshop / "parts/inner.j2").write_text("{{ name }}")
        output = '[[fuki.output]]\nformat = "template"\ntemplate = "own.txt.j2"\npath = "own.txt"\n'
        (workshop / "fuki.toml").write_text(RECIPE + output)
        succeed(workshop, "build", "--depfile", "d")
        assert {"own.txt.j2", "parts/inner.j2"} <= set(depfile(workshop / "d")[1])

    def test_a_template_of_an_earlier_build_in_one_process_is_not(self, workshop):
        for name in ("one", "two"):
            (workshop / f"{name}.j2").write_text(name)
            output = f'[[fuki.output]]\nformat = "template"\ntemplate = "{name}.j2"\npath = "{name}.txt"\n'
            (workshop / "fuki.toml").write_text(RECIPE + output)
            succeed(workshop, "build", "--depfile", "d")
        assert [name for name in depfile(workshop / "d")[1] if name.endswith(".j2")] == ["two.j2"]

    def test_directories_of_hardware_ids_are_in_it(self, workshop):
        device = {"type": "uefi-fw", "name": "n", "fwid": "x", "hwids": ["01e09b32-de05-56ca-b9d1-9486ad5f381d"]}
        (workshop / "hw/below").mkdir(parents=True)
        (workshop / "hw/below/a.json").write_text(json.dumps(device))
        (workshop / "fuki.toml").write_text(workshop_recipe(silence=["hwids-missing-firmware"], hwids="hw"))
        succeed(workshop, "build", "--depfile", "d")
        assert {"hw", "hw/below", "hw/below/a.json"} <= set(depfile(workshop / "d")[1])


class TestTemplate:
    @pytest.fixture
    def write(self, workshop):
        def write(text: str, more: str = "", **keys: Any) -> None:  # noqa: ANN401 - of a recipe
            (workshop / "own.txt.j2").write_text(text)
            output = '[[fuki.output]]\nformat = "template"\ntemplate = "own.txt.j2"\npath = "own.txt"\n'
            (workshop / "fuki.toml").write_text(workshop_recipe(more + output, **keys))

        return write

    def test_it_sees_names_and_the_facts_of_the_build(self, workshop, write):
        write("{{ name }} {{ version }} {{ build.images[0].authenticode }}\n")
        succeed(workshop, "build")
        succeed(workshop, "build", "--only", "uki")
        assert (workshop / "own.txt").read_text() == f"acme 41.3 {authenticode(workshop / 'acme_41.3.efi')}\n"

    def test_it_sees_variables(self, workshop, write):
        write("{{ colour }}", '[fuki.variables]\ncolour = "blue"\n')
        succeed(workshop, "build")
        assert (workshop / "own.txt").read_text() == "blue"

    def test_templates_are_looked_for_in_the_recipes_directories(self, workshop, write):
        write("", templates=["lib"])
        (workshop / "own.txt.j2").unlink()
        (workshop / "lib").mkdir()
        (workshop / "lib/own.txt.j2").write_text("from lib")
        succeed(workshop, "build")
        assert (workshop / "own.txt").read_text() == "from lib"

    @pytest.mark.parametrize("text", ["{{ nope }}", "{% if %}", "{{ ''.__class__.__mro__ }}", "{{ build.nope.x }}"])
    def test_a_template_that_fails_is_told_and_nothing_is_written(self, workshop, write, text):
        write(text)
        (workshop / "fuki.toml").write_text(
            (workshop / "fuki.toml").read_text() + '[[fuki.output]]\nformat = "uki"\npath = "a.efi"\n'
        )
        assert "fuki.output[0].template: this text cannot be rendered" in refused(workshop, "build")

    def test_a_template_outside_the_directories_is_not_found(self, workshop, write, tmp_path):
        (tmp_path / "secret").write_text("secret")
        write("{% include '../secret' %}")
        assert "no template" in refused(workshop, "build")


class TestChanges:
    """An input that changes between planning and writing is an error: what was planned is what is written."""

    @pytest.mark.parametrize("name", ["initrd.img", "os-release"])
    def test_a_changed_input_is_an_error(self, workshop, name):
        with plan(workshop) as planned:
            content = (workshop / name).read_bytes()
            (workshop / name).write_bytes(content[:-1] + b"!")
            os.utime(workshop / name, ns=(1, 1))
            with pytest.raises(FukiError, match=f"{name} changed"):
                build(planned)
        assert not list(workshop.glob("*.efi"))

    def test_a_replaced_input_is_an_error(self, workshop):
        with plan(workshop) as planned:
            status = (workshop / "initrd.img").stat()
            (workshop / "new").write_bytes((workshop / "initrd.img").read_bytes())
            os.utime(workshop / "new", ns=(status.st_atime_ns, status.st_mtime_ns))
            (workshop / "new").rename(workshop / "initrd.img")
            with pytest.raises(FukiError, match=r"initrd\.img changed"):
                build(planned)

    def test_an_input_that_went_away_is_an_error(self, workshop):
        with plan(workshop) as planned:
            (workshop / "initrd.img").unlink()
            with pytest.raises(FukiError, match=r"cannot open .*initrd\.img: No such file"):
                build(planned)
        assert not list(workshop.glob("*.efi"))

    @pytest.mark.parametrize("size", [100, 64 * 1024 * 1024])
    def test_an_input_that_changes_while_it_is_read_is_an_error(self, workshop, size):
        os.truncate(workshop / "initrd.img", 32 * 1024 * 1024)
        done = 0

        def change(count: int) -> None:
            nonlocal done
            done += count
            if done > 20 * 1024 * 1024:
                os.truncate(workshop / "initrd.img", size)

        with plan(workshop) as planned, pytest.raises(FukiError, match=r"initrd\.img (changed|became shorter)"):
            build(planned, progress=change)
        assert not list(workshop.glob("*.efi"))

    def test_an_old_output_stays_when_a_build_fails(self, workshop):
        (workshop / "acme_41.3.efi").write_text("old")
        with plan(workshop) as planned:
            (workshop / "initrd.img").unlink()
            with pytest.raises(FukiError):
                build(planned)
        assert (workshop / "acme_41.3.efi").read_text() == "old"


class TestAllOrNothing:
    def test_an_output_that_fails_leaves_the_others_unwritten(self, fuki, workshop, tmp_path):
        source = """
            from fuki_build.hooks import OutputFormat, hookimpl
            class Bad(OutputFormat):
                name = "bad"
                suffix = ".bad"
                def emit(self, options, build, context):
                    context.write(context.path, b"half")
                    raise RuntimeError("no more")
            @hookimpl
            def fuki_outputs():
                return [Bad]
        """

        path = install_plugin(tmp_path / "site", "bad", source)
        (workshop / "fuki.toml").write_text(
            RECIPE + '[[fuki.output]]\nformat = "uki"\n[[fuki.output]]\nformat = "manifest"\n'
            '[[fuki.output]]\nformat = "bad"\n'
        )

        before = sorted(workshop.rglob("*"))
        fuki("--plugin", "bad", "build", code=5, PYTHONPATH=path)
        assert sorted(workshop.rglob("*")) == before

    def test_a_link_in_the_place_of_an_output_is_replaced_and_not_followed(self, workshop):
        (workshop / "precious").write_text("keep")
        (workshop / "acme_41.3.efi").symlink_to("precious")
        succeed(workshop, "build")
        assert (workshop / "precious").read_text() == "keep"
        assert not (workshop / "acme_41.3.efi").is_symlink()

    def test_an_output_is_readable_as_the_umask_says(self, workshop):
        old = os.umask(0o027)
        try:
            succeed(workshop, "build")
        finally:
            os.umask(old)
        assert (workshop / "acme_41.3.efi").stat().st_mode & 0o777 == 0o640

    def test_a_second_build_replaces_the_first(self, workshop):
        succeed(workshop, "build")
        (workshop / "fuki.toml").write_text(RECIPE.replace("root ro", "root rw"))
        assert invoke(workshop, "build").code == 0
        cmdline = next(s for s in sections(workshop / "acme_41.3.efi") if s[0] == ".cmdline")
        assert cmdline[5] == b"root=LABEL=root rw"


class TestInterruptions:
    def test_a_build_that_fails_leaves_no_directory(self, workshop):
        (workshop / "bad.j2").write_text("{{ no_such_name }}")
        (workshop / "fuki.toml").write_text(
            RECIPE
            + '[[fuki.addon]]\nname = "a"\ncmdline = "x"\n[[fuki.output]]\nformat = "addon"\npath = "new/more"\n'
            + '[[fuki.output]]\nformat = "template"\npath = "other/b.txt"\ntemplate = "bad.j2"\n'
        )
        assert "no_such_name" in refused(workshop, "build", "--depfile", "deps/z.d")

    @pytest.mark.parametrize("number", range(6))
    def test_a_build_killed_at_a_rename_leaves_whole_files(self, rich, number):
        """Six: the image, two addons, manifest and depfile, and then there is none left to be killed at."""
        succeed(rich, "build", "--depfile", "z.d")
        written = [rich / name for name in (*WRITTEN, "z.d")]
        old = {path: (path.stat().st_ino, path.read_bytes()) for path in written}
        (rich / "fuki.toml").write_text((rich / "fuki.toml").read_text().replace("root=LABEL=root", "root=LABEL=new"))

        done = subprocess.run([sys.executable, "-c", _KILLED, str(number)], cwd=rich, check=False, capture_output=True)
        found = {path: (path.stat().st_ino, path.read_bytes()) for path in written}
        renamed = [path for path in written if found[path][0] != old[path][0]]
        assert done.returncode == (0 if number == len(written) else -signal.SIGKILL)
        assert len(renamed) == number
        assert all(found[path] == old[path] for path in written if path not in renamed)

        succeed(rich, "build", "--depfile", "z.d")
        assert all(found[path][1] == path.read_bytes() for path in renamed)

    def test_a_plan_is_guarded_in_whatever_thread_it_is_built(self, workshop):
        before = (workshop / "os-release").read_bytes()
        with plan(workshop) as planned, ThreadPoolExecutor(1) as pool:
            task = pool.submit(build, planned, output=workshop / "os-release")
            with pytest.raises(FukiError, match="would replace the input"):
                task.result()
        assert (workshop / "os-release").read_bytes() == before

    def test_a_plan_can_be_built_twice(self, workshop):
        with plan(workshop) as planned:
            first = build(planned).artifacts[0].path.read_bytes()
            assert build(planned).artifacts[0].path.read_bytes() == first


_KILLED = """
import os, signal, sys
from fuki_build.cli.main import run

left, real = int(sys.argv[1]), os.rename
def rename(source, target):
    global left
    if str(source).endswith(".tmp"):
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
    real(source, target)
os.rename = rename
sys.exit(run(["build", "--depfile", "z.d"]))
"""
