"""What a caller's command line brings to a recipe, or in place of one.

One rule: what the caller gives wins, and tables are added. A key that the caller gives stands in place of the recipe's;
`[fuki.image]`, `variables` and `sections` are taken together key by key, and so are profiles of one id; lists of tables
have the caller's first, then the recipe's. The caller's defaults, which it was not asked for, stand behind the recipe.
"""

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Any

from msgspec import Struct

from fuki_build.image.section import Section

_MERGED = frozenset(("image", "variables", "sections"))
_UNITED = frozenset(("plugins", "silence", "environment", "templates", "remove"))
"""Lists of names, in which each stands once."""
ADDED = frozenset(("firmware", "addon", "expect", "sign", "pcr-policy", "launch", "output"))
"""Lists of tables, in which the caller's stand first."""


class Product(StrEnum):
    """What a caller asks for."""

    UKI = "uki"
    ADDON = "addon"
    PROFILE = "profile"
    """An image with the sections of one profile, to be joined to a UKI."""


class JoinedProfile(Struct, frozen=True):
    """A profile that was built as an image of its own: its sections in their order, `.profile` first."""

    id: str
    sections: tuple[Section, ...]


class Caller(Struct, frozen=True, kw_only=True):
    """What a command line says. `tables` and `defaults` are recipes in part, and not rendered as texts.

    `sections` stand behind those of `[fuki.image]`; `profile` is the base's `.profile`, word by word; `joined` are
    profiles whose tables, by id, are in `tables`. With `outputs_beside`, paths of outputs are
    relative to the image, not to the recipe. `place` is what errors about `sections` name.
    `image` is what mkosi calls the image that it has fuki make, by its settings.
    """

    tables: Mapping[str, Any] = {}
    defaults: Mapping[str, Any] = {}
    product: Product = Product.UKI
    sections: tuple[Section, ...] = ()
    profile: bytes | None = None
    joined: tuple[JoinedProfile, ...] = ()
    outputs_beside: bool = False
    place: str = "--section"
    image: Mapping[str, str] = {}

    def only(self, keys: Collection[str]) -> "Caller":
        """What the caller brings of these keys of the recipe."""
        tables, defaults = ({key: own[key] for key in keys if key in own} for own in (self.tables, self.defaults))
        return Caller(tables=tables, defaults=defaults)

    def joined_sections(self, id_: str) -> tuple[Section, ...]:
        """The sections that the caller brings for a profile; none for a profile of the recipe alone."""
        return next((profile.sections for profile in self.joined if profile.id == id_), ())


def merge(recipe: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
    """The data of a recipe with what the caller brings."""
    return _merge(_merge(caller.tables, recipe), caller.defaults)


def _merge(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**second, **first}
    for key in first.keys() & second.keys():
        merged[key] = _together(key, first[key], second[key])
    return merged


def _together(key: str, first: Any, second: Any) -> Any:  # noqa: ANN401 - recipe data
    if key in _MERGED and isinstance(second, Mapping):
        return _merge(first, second)
    if key in _UNITED and isinstance(second, list):
        return [*first, *(name for name in second if name not in first)]
    if key == "profile" and isinstance(second, list):
        return _merge_profiles(first, second)
    if key in ADDED and isinstance(second, list | dict):
        return [*_as_list(first), *_as_list(second)]
    return first


def _as_list(tables: Any) -> list[Any]:  # noqa: ANN401 - recipe data
    """`[fuki.sign]` and `[[fuki.sign]]` alike."""
    return [tables] if isinstance(tables, dict) else list(tables)


def _merge_profiles(first: list[Any], second: list[Any]) -> list[Any]:
    def find(profiles: list[Any], table: Any) -> Any:  # noqa: ANN401 - recipe data
        own = table.get("id") if isinstance(table, dict) else None
        return next((p for p in profiles if isinstance(p, dict) and own is not None and p.get("id") == own), None)

    merged = [_merge(table, find(second, table) or {}) for table in first]
    return [*merged, *(table for table in second if find(first, table) is None)]
