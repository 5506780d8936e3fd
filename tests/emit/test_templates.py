"""Outputs that are written from templates."""

from typing import Any

import pytest

from fuki_build.testing import refused, succeed
from tests.support.rich import authenticode
from tests.support.workshop import workshop_recipe


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
