"""`fuki build`: what is written, where to, and what is told about it."""

import json
from pathlib import Path

from fuki_build.testing import refused, succeed
from tests.conftest import RECIPE
from tests.support.rich import ADDONS, MANIFEST, UKI, WRITTEN


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
