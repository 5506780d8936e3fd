"""Every mistake that a recipe's author can make is one error with place, problem and remedy, and writes nothing."""

from pathlib import Path

import pytest

from fuki_build.testing import invoke, refused
from tests.support.recipe_mistakes import MISTAKES
from tests.support.recipe_mistakes.changes import swap, top


@pytest.mark.parametrize(("recipe", "place", "problem", "remedy"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_error_with_place_problem_and_remedy(traps, recipe, place, problem, remedy):
    (traps / "fuki.toml").write_text(recipe)
    error = refused(traps, "build")
    assert error.startswith(f"fuki: error: {place}")
    assert problem in error
    assert remedy in error


def test_a_directory_without_a_recipe_is_refused_with_the_way_to_one(tmp_path):
    error = refused(tmp_path, "plan")
    assert str(tmp_path) in error
    assert "fuki init" in error


def test_a_recipe_that_is_not_there_is_refused(tmp_path):
    assert "cannot open nope.toml" in refused(tmp_path, "plan", "nope.toml")


def test_a_recipe_that_is_a_fifo_is_refused_without_waiting(traps):
    assert "not a regular file" in refused(traps, "plan", "fifo")


def test_a_recipe_that_is_not_utf8_is_refused(traps):
    (traps / "fuki.toml").write_bytes(b'[fuki]\nname = "\xff"\n')
    assert "fuki.toml: it is not UTF-8 text (byte 15)" in refused(traps, "plan")


def test_toml_nested_without_end_is_refused(traps):
    (traps / "fuki.toml").write_text("a = " + "[" * 100_000)
    assert "line 1 has 100004 characters" in refused(traps, "plan")


def test_a_plugin_that_is_not_installed_is_refused(traps):
    (traps / "fuki.toml").write_text(top('plugins = ["zenith"]'))
    error = refused(traps, "build", code=5)
    assert error.startswith("fuki: error: fuki.plugins[0]: no plugin 'zenith' is installed")
    assert "pip install" not in error


def test_an_unknown_verb_is_answered_with_the_nearest(tmp_path):
    outcome = invoke(tmp_path, "biuld")
    assert outcome.code == 2
    assert "'build'" in outcome.err


def test_an_empty_initrd_is_left_out_and_no_error(traps):
    (traps / "fuki.toml").write_text(swap('"initrd.img"', '"empty"'))
    assert invoke(traps, "build").code == 0
    assert '".initrd"' not in invoke(traps, "inspect", "acme_41.3.efi", "--json").out


def test_the_working_directory_does_not_matter_for_paths(traps, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert invoke(elsewhere, "build", traps).code == 0
    assert (traps / "acme_41.3.efi").is_file()
    assert not list(Path(elsewhere).iterdir())
