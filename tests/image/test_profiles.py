"""Profiles are found by number or id."""

import pytest

from fuki_build.errors import RecipeError
from fuki_build.image.layout import Layout
from fuki_build.image.profiles import Profile, find_profile, find_profiles, profiles
from tests.support.images import layout_of


@pytest.fixture
def layout() -> Layout:
    return layout_of(
        [
            (".linux", b"kernel", None),
            (".profile", b"ID=main\nTITLE=Usual\n", 0),
            (".profile", b"ID=0\n", 1),
            (".profile", b"\xff = broken", 2),
        ]
    )


def test_they_are_what_their_sections_say(layout: Layout):
    assert profiles(layout) == (Profile(0, "main", "Usual"), Profile(1, "0", None), Profile(2, None, None))


@pytest.mark.parametrize(("text", "numbers"), [("main", [0]), ("2", [2]), ("0", [0, 1])])
def test_one_is_named_by_number_or_id(layout: Layout, text: str, numbers: list[int]):
    assert find_profiles(layout, text) == numbers
    assert find_profile(layout, text) == numbers[0]


def test_without_a_name_it_is_all_of_them(layout: Layout):
    assert find_profiles(layout, None) == (0, 1, 2)
    assert find_profiles(layout_of([(".linux", b"kernel", None)]), None) == (None,)


def test_an_unknown_one_is_an_error_that_tells_which_there_are(layout: Layout):
    for find in (find_profiles, find_profile):
        with pytest.raises(RecipeError, match="there is no profile 'debug'") as caught:
            find(layout, "debug")
        assert caught.value.hint == "there are: 0 (main), 1 (0), 2 (None)"
