"""The profiles of an image, by number and by what their `.profile` sections say, and nothing else of it."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from fuki_build.errors import FormatError, RecipeError
from fuki_build.formats.uki import env_file
from fuki_build.image.layout import Layout
from fuki_build.image.section import Section

_MAX_TEXT = 64 * 1024


class Profile(Struct, frozen=True):
    """A profile's number, and its ID and TITLE, None where it has none."""

    number: int
    id: str | None
    title: str | None


def profiles(layout: Layout) -> tuple[Profile, ...]:
    """The profiles of an image in the order of their sections; reads some small sections."""
    return tuple(_profile(section) for section in layout.plain_sections if section.name == ".profile")


def profile_ids(layout: Layout) -> Mapping[int, str | None]:
    """The ID of each profile, by its number."""
    return {profile.number: profile.id for profile in profiles(layout)}


def find_profiles(layout: Layout, text: str | None) -> Sequence[int | None]:
    """The profiles that `text` names by number or id; all where it is None, and `[None]` for an image without any.

    Raises `RecipeError` where there is none.
    """
    if text is None:
        return layout.profiles or (None,)
    return _named(layout, text)


def chosen_profiles(layout: Layout, names: Sequence[str]) -> Sequence[int | None]:
    """The profiles that any of `names` names, in their order in the image; as `find_profiles` does for one name."""
    if not names:
        return find_profiles(layout, None)
    chosen = {number for name in names for number in _named(layout, name)}
    return tuple(number for number in layout.profiles if number in chosen)


def find_profile(layout: Layout, text: str) -> int:
    """The one profile that `text` names: a number first, then an id. Raises `RecipeError` where there is none."""
    numbers = _named(layout, text)
    return next((number for number in numbers if str(number) == text), numbers[0])


def _named(layout: Layout, text: str) -> list[int]:
    known = profiles(layout)
    numbers = [profile.number for profile in known if text in (profile.id, str(profile.number))]
    if not numbers:
        there = ", ".join(f"{profile.number} ({profile.id})" for profile in known) or "none"
        raise RecipeError(f"there is no profile {text!r}", where=layout.where, hint=f"there are: {there}")
    return numbers


def _profile(section: Section) -> Profile:
    values = read_assignments(section)
    return Profile(section.profile or 0, values.get("ID"), values.get("TITLE"))


def read_assignments(section: Section) -> Mapping[str, str]:
    """The assignments of a section such as `.profile` or `.osrel`; none of one that cannot be read."""
    try:
        return env_file.decode(section.content.read_at(0, _MAX_TEXT))
    except FormatError:
        return {}


def successors(old: Layout, new: Layout) -> Mapping[int | None, int | None]:
    """By profile of one image: the profile of another that has its id, or its number where it has no id.

    One that has no successor is left out. An image without profiles boots what is profile 0 of one that has some.
    """
    if not old.profiles:
        return {None: 0 if new.profiles else None}
    if not new.profiles:
        return {0: None}

    new_ids = profile_ids(new)
    by_id: dict[str, int] = {}
    for number, profile_id in new_ids.items():
        if profile_id:
            by_id.setdefault(profile_id, number)

    following: dict[int | None, int | None] = {}
    for number, profile_id in profile_ids(old).items():
        if profile_id and profile_id in by_id:
            following[number] = by_id[profile_id]
        elif not profile_id and number in new_ids:
            following[number] = number
    return following
