"""`fuki export ninja`, with real ninja."""

import os
import subprocess
import sys
from pathlib import Path

import parts
import pytest

from fuki_build.testing import invoke, refused, succeed
from tests.conftest import RECIPE

MATRIX = RECIPE.replace('initrd = ["initrd.img"]', 'initrd = ["{{ matrix.cloud }}.img"]') + (
    '[fuki.matrix]\ncloud = ["aws", "gcp"]\narch = ["x64", "x86"]\n'
)
IMAGES = {cloud: [f"acme_41.3_{cloud}-{arch}.efi" for arch in ("x64", "x86")] for cloud in ("aws", "gcp")}
NOTHING = "ninja: no work to do."


@pytest.fixture(autouse=True)
def recipe(workshop):
    (workshop / "fuki.toml").write_text(MATRIX)
    for cloud in IMAGES:
        (workshop / f"{cloud}.img").write_bytes(parts.initrd({cloud: b"initrd"}))


def ninja(directory: Path, *arguments: str, code: int = 0) -> str:
    programs = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [f"{programs}/ninja", *arguments], cwd=directory, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def ran(output: str) -> list[str]:
    """What ninja ran, by the descriptions of its edges."""
    lines = [line.partition("] fuki ") for line in output.splitlines()]
    return sorted(rest for head, target, rest in lines if target and head.startswith("["))


def later(path: Path) -> None:
    """As if the file had been written now; ninja wonders about times in the future."""
    os.utime(path)


class TestBuilding:
    def test_every_cell_is_an_edge_and_a_second_run_does_nothing(self, workshop):
        succeed(workshop, "export", "ninja")
        assert ran(ninja(workshop)) == [f"cloud={c},arch={a}" for c in ("aws", "gcp") for a in ("x64", "x86")]
        images = {name: (workshop / name).read_bytes() for names in IMAGES.values() for name in names}
        assert NOTHING in ninja(workshop)
        # ninja keeps what the depfiles said, and deletes them.
        assert not list(workshop.glob("*.d"))
        succeed(workshop, "build")
        assert {name: (workshop / name).read_bytes() for name in images} == images

    def test_a_changed_initrd_rebuilds_its_cells_only(self, workshop):
        succeed(workshop, "export", "ninja")
        ninja(workshop)
        (workshop / "gcp.img").write_bytes(parts.initrd({"gcp": b"another"}))
        later(workshop / "gcp.img")
        before = {name: (workshop / name).read_bytes() for names in IMAGES.values() for name in names}
        assert ran(ninja(workshop)) == ["cloud=gcp,arch=x64", "cloud=gcp,arch=x86"]
        changed = [name for name, data in before.items() if (workshop / name).read_bytes() != data]
        assert changed == IMAGES["gcp"]
        assert NOTHING in ninja(workshop)

    def test_what_depends_on_an_image_that_stays_the_same_is_not_built_again(self, workshop):
        succeed(workshop, "export", "ninja")
        (workshop / "all.ninja").write_text(
            "include build.ninja\nrule copy\n  command = cp $in $out\n  description = fuki copy\n"
            f"build copy.efi: copy {IMAGES['gcp'][0]}\ndefault copy.efi\n"
        )

        assert "copy" in ran(ninja(workshop, "-f", "all.ninja"))
        image = workshop / IMAGES["gcp"][0]
        before = image.stat()
        later(workshop / "gcp.img")
        assert ran(ninja(workshop, "-f", "all.ninja")) == ["cloud=gcp,arch=x64", "cloud=gcp,arch=x86"]
        assert (image.stat().st_ino, image.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
        assert NOTHING in ninja(workshop, "-f", "all.ninja")

    def test_a_recipe_with_a_further_cell_is_exported_anew_and_that_cell_built(self, workshop):
        succeed(workshop, "export", "ninja")
        ninja(workshop)
        (workshop / "fuki.toml").write_text(MATRIX.replace('"x86"]', '"x86", "aa64"]'))
        later(workshop / "fuki.toml")
        later_run = ran(ninja(workshop))
        assert {"export ninja", "cloud=aws,arch=aa64", "cloud=gcp,arch=aa64"} <= set(later_run)
        assert (workshop / "acme_41.3_gcp-aa64.efi").is_file()

    def test_options_cells_and_a_place_of_the_file_are_kept(self, workshop):
        recipe = MATRIX.replace("root ro", "root ro {{ more }}") + '[fuki.variables]\nmore = "no"\n'
        (workshop / "fuki.toml").write_text(recipe)
        arguments = ["--cell", "cloud=gcp", "--set", "more=$HOME & 'more'", "-o", "rules/of it.ninja"]
        succeed(workshop, "export", "ninja", *arguments)
        assert ran(ninja(workshop, "-f", "rules/of it.ninja")) == ["cloud=gcp,arch=x64", "cloud=gcp,arch=x86"]
        cmdline = succeed(workshop, "inspect", IMAGES["gcp"][0], "--extract", ".cmdline", "-o", "-").out
        assert cmdline.rstrip("\0\n") == "root=LABEL=root ro $HOME & 'more'"

        before = (workshop / "rules/of it.ninja").read_text()
        later(workshop / "fuki.toml")
        assert "export ninja" in ran(ninja(workshop, "-f", "rules/of it.ninja"))
        assert (workshop / "rules/of it.ninja").read_text() == before

    def test_paths_that_ninja_and_depfiles_have_to_escape(self, workshop):
        (workshop / "a $b: c.img").write_bytes(b"odd")
        recipe = RECIPE.replace("initrd.img", "a $b: c.img")
        output = '[[fuki.output]]\nformat = "uki"\npath = "an $image: 1.efi"\n'
        (workshop / "fuki.toml").write_text(recipe + output)
        succeed(workshop, "export", "ninja")
        assert ran(ninja(workshop)) == ["acme"]
        assert (workshop / "an $image: 1.efi").is_file()
        assert NOTHING in ninja(workshop)
        later(workshop / "a $b: c.img")
        assert ran(ninja(workshop)) == ["acme"]

    def test_a_cell_that_fails_fails_ninja_and_the_others_are_built(self, workshop):
        succeed(workshop, "export", "ninja")
        (workshop / "fuki.toml").write_text(MATRIX)
        (workshop / "gcp.img").unlink()
        assert ninja(workshop, "-k", "0", code=1)
        assert not [name for name in IMAGES["gcp"] if (workshop / name).exists()]


class TestHeavyCells:
    def test_they_are_built_one_at_a_time(self, workshop):
        (workshop / "gcp.img").write_bytes(bytes(3 * 1024 * 1024))
        size = (workshop / "vmlinuz").stat().st_size // (1024 * 1024) + 3
        succeed(workshop, "export", "ninja", "--heavy", size)
        text = (workshop / "build.ninja").read_text()
        heavy = [block.splitlines()[0] for block in text.split("\n\n") if "  pool = heavy" in block]
        assert [line.split()[1].rstrip(":") for line in heavy] == IMAGES["gcp"]
        assert "pool heavy\n  depth = 1\n" in text
        assert len(ran(ninja(workshop))) == 4


class TestMistakes:
    @pytest.mark.parametrize(("name", "shown"), [("a|b.efi", "'|'"), ("a\\nb.efi", "'\\n'")])
    def test_a_name_that_ninja_cannot_have_is_told(self, workshop, name, shown):
        (workshop / "fuki.toml").write_text(RECIPE + f'[[fuki.output]]\nformat = "uki"\npath = "{name}"\n')
        error = refused(workshop, "export", "ninja")
        assert f"a build.ninja cannot have {shown} in" in error
        assert "another name" in error
        assert not (workshop / "build.ninja").exists()

    def test_a_cell_that_cannot_be_planned_leaves_the_file_as_it_is(self, workshop):
        (workshop / "build.ninja").write_text("before")
        (workshop / "gcp.img").unlink()
        assert "cell cloud=gcp,arch=x64: fuki.image.initrd[0]: cannot open gcp.img" in refused(
            workshop, "export", "ninja"
        )
        assert (workshop / "build.ninja").read_text() == "before"

    def test_cells_that_write_one_path_are_refused(self, workshop):
        (workshop / "fuki.toml").write_text(MATRIX + '[[fuki.output]]\nformat = "uki"\npath = "x.efi"\n')
        assert "both write x.efi" in refused(workshop, "export", "ninja")

    def test_standard_output_is_refused(self, workshop):
        for kind in ("ninja", "reapi"):
            assert "name a path" in invoke(workshop, "export", kind, "-o", "-").err
        assert not (workshop / "-").exists()

    def test_no_input_is_written_over(self, workshop):
        before = (workshop / "fuki.toml").read_bytes()
        outcome = invoke(workshop, "export", "ninja", "-o", "fuki.toml")
        assert outcome.code == 2
        assert (workshop / "fuki.toml").read_bytes() == before
