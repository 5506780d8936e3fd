"""One of two images that are compared, and which profile of the one stands for which of the other."""

from collections.abc import Mapping

from msgspec import Struct

from fuki_build.image.firmware import Slice
from fuki_build.image.layout import Layout
from fuki_build.image.profiles import successors
from fuki_build.report.differences.views import Change
from fuki_build.report.facts import Report

Place = tuple[int | None, bool]
"""A slice: the number of its profile (None: the base), and whether only the old image has it, which counts it then."""


class Compared(Struct, frozen=True):
    """An image that was read, with all that a report tells of it."""

    layout: Layout
    parts: tuple[Slice, ...]
    report: Report


class ProfilePairs(Struct, frozen=True):
    """`boots` has for each profile of the old image the one of the new image that it is compared with, if any."""

    boots: Mapping[int | None, int | None]

    @classmethod
    def of(cls, old: Layout, new: Layout) -> "ProfilePairs":
        return cls(successors(old, new))

    def place(self, profile: int | None, *, old: bool) -> Place:
        """The place of a slice: equal for slices that stand for each other. The base stands for the base."""
        if not old or profile is None:
            return profile, False
        successor = self.boots.get(profile)
        return (profile, True) if successor is None else (successor, False)


def change_of(old: object | None, new: object | None) -> Change:
    """The kind of a difference between what two images have, None where one has nothing."""
    if old is None:
        return Change.ADDED
    return Change.REMOVED if new is None else Change.CHANGED
