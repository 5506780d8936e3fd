"""The depfile of a build: everything that decided it, as Make reads that."""

import json
from pathlib import Path

from fuki_build.testing import refused, succeed
from tests.conftest import RECIPE
from tests.support.rich import UKI
from tests.support.workshop import workshop_recipe


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
