"""Options before the verb: how much is said, in which colours, and what becomes of one in another place."""

import pytest

from fuki_build.testing import invoke, succeed


@pytest.fixture
def directory(workshop):
    succeed(workshop, "build", "-o", "image.efi")
    return workshop


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        (("match", "image.efi", "--plugin", "gcp"), "fuki --plugin … match …"),
        (("keys", "generate", "-q"), "fuki -q keys generate …"),
        (("plan", "--color", "always"), "fuki --color … plan …"),
        (("build", "--verbose"), "fuki --verbose build …"),
    ],
)
def test_one_behind_the_verb_is_told_its_place(directory, arguments, place):
    outcome = invoke(directory, *arguments)
    assert outcome.code == 2
    assert f"stands before the verb: {place}" in outcome.err


def test_quiet_leaves_errors_only(directory):
    assert succeed(directory, "build").err.startswith("wrote")
    assert not succeed(directory, "-q", "build").err
    assert not succeed(directory, "--quiet", "match", "image.efi", "--platform", "qemu").err
    assert invoke(directory, "-q", "plan", "nowhere.toml").err.startswith("fuki: error: ")


def test_verbose_tells_what_an_error_came_from(directory):
    assert "from: " not in invoke(directory, "plan", "nowhere.toml").err
    assert "from: FileNotFoundError" in invoke(directory, "-v", "plan", "nowhere.toml").err


def test_colours_are_where_the_command_line_wants_them(directory, monkeypatch):
    assert "\x1b" not in succeed(directory, "match", "image.efi", "--platform", "qemu").out
    assert "\x1b[1m" in succeed(directory, "--color", "always", "match", "image.efi", "--platform", "qemu").out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in succeed(directory, "--color", "auto", "match", "image.efi", "--platform", "qemu").out
    assert "\x1b" in succeed(directory, "--color", "always", "match", "image.efi", "--platform", "qemu").out
    assert "\x1b" not in succeed(directory, "--color", "never", "match", "image.efi", "--platform", "qemu").out


def test_a_hint_names_what_can_be_done_where_no_recipe_is(directory):
    error = invoke(directory, "match", "image.efi", "--platform", "aws").err
    assert "fuki --plugin aws …" in error
    assert "[fuki]" not in error
    with (directory / "fuki.toml").open("a") as recipe:
        recipe.write('\n[[fuki.expect]]\nmachine = "aws"\n')
    assert "add 'aws' to plugins in [fuki]" in invoke(directory, "plan").err
