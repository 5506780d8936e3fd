"""Texts of a recipe are Jinja2 templates."""

import pytest

from fuki_build import load_recipe
from fuki_build.recipe.model import Recipe
from fuki_build.testing import refused, succeed
from tests.conftest import RECIPE
from tests.support.workshop import workshop_recipe


@pytest.fixture
def load(workshop):
    def load(text: str) -> Recipe:
        (workshop / "fuki.toml").write_text(text)
        return load_recipe(workshop).recipe

    return load


def test_name_and_version_are_known_everywhere(load):
    recipe = load(RECIPE + '[[fuki.output]]\nformat = "uki"\npath = "out/{{ name }}_{{ version }}.efi"\n')
    assert recipe.output[0]["path"] == "out/acme_41.3.efi"


def test_variables_are_known_by_their_names_and_may_build_on_earlier_ones(load):
    variables = '[fuki.variables]\ndisk = "LABEL=root"\nroot = "root={{ disk }}"\n'
    recipe = load(workshop_recipe(variables, cmdline="{{ root }} ro"))
    assert recipe.image.cmdline == "root=LABEL=root ro"


def test_the_name_may_use_variables_and_the_version(load):
    recipe = load(workshop_recipe('[fuki.variables]\nvendor = "acme"', name="{{ vendor }}-{{ version }}"))
    assert recipe.name == "acme-41.3"


def test_an_environment_variable_that_is_asked_for_is_known(load, monkeypatch):
    monkeypatch.setenv("FUKI_TEST_ROOT", "LABEL=x")
    recipe = load(workshop_recipe(environment=["FUKI_TEST_ROOT"], cmdline="root={{ env.FUKI_TEST_ROOT }}"))
    assert recipe.image.cmdline == "root=LABEL=x"


def test_a_rendered_name_is_held_to_the_rules_of_names(workshop):
    (workshop / "fuki.toml").write_text(workshop_recipe(name="{{ 'a/b' }}"))
    assert "fuki.name" in refused(workshop, "plan")


def test_line_breaks_of_a_command_line_become_spaces(workshop):
    text = RECIPE.replace('"root=LABEL=root ro"', '"""\n  root=LABEL=root\n  ro\n"""')
    (workshop / "fuki.toml").write_text(text)
    succeed(workshop, "build")
    succeed(workshop, "inspect", "acme_41.3.efi", "--extract", "cmdline", "-o", "c")
    assert (workshop / "c").read_bytes() == b"root=LABEL=root ro"


def test_a_command_line_file_is_taken_as_it_is(workshop):
    (workshop / "line").write_bytes(b"a  b\n{{ c }}")
    (workshop / "fuki.toml").write_text(workshop_recipe(cmdline={"file": "line"}))
    succeed(workshop, "build")
    succeed(workshop, "inspect", "acme_41.3.efi", "--extract", "cmdline", "-o", "c")
    assert (workshop / "c").read_bytes() == b"a  b\n{{ c }}"
