"""Checks: rules, what they look at, and what they find."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from functools import cached_property

from msgspec import Struct

from fuki_build.hardware.machine import Machine
from fuki_build.image.firmware import Slice, slices
from fuki_build.image.layout import Layout
from fuki_build.image.profiles import Profile, profiles
from fuki_build.image.section import Section
from fuki_build.image.selection import Selector
from fuki_build.image.stub import MODELS


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Finding(Struct, frozen=True, kw_only=True):
    """What a rule found: `where` is a section or a place in the recipe."""

    rule: str
    severity: Severity
    message: str
    where: str | None = None
    hint: str | None = None


class Problem(Struct, frozen=True):
    """What is wrong: `where` is a section or a place in the recipe, `hint` what to do."""

    message: str
    where: str | None = None
    hint: str | None = None


Problems = Iterator[Problem]


class Expectation(Struct, frozen=True, kw_only=True):
    """What a machine is to select: a firmware by its fwid, or none.

    `profile` is the number of the slice that says so (None: the base, and so every profile without a word of its own);
    `explicit` tells `[[fuki.expect]]` from what follows from `[[fuki.firmware]]`.
    """

    machine: Machine
    fwid: str | None
    profile: int | None
    where: str
    explicit: bool = False


def sections_named(layout: Layout, names: Sequence[str]) -> list[Section]:
    """The sections of these names, or all where none is given, in the file's order."""
    return [section for section in layout.plain_sections if not names or section.name in names]


class CheckSubject(Struct, frozen=True, dict=True):
    """What rules look at: a layout, planned or read, all machines of the loaded platforms, and what is expected.

    `image` is the image that an addon is for, where it is known.
    """

    layout: Layout
    machines: Sequence[Machine] = ()
    expectations: Sequence[Expectation] = ()
    image: Layout | None = None

    def sections(self, *names: str) -> list[Section]:
        """The sections of these names, or all, in the file's order: the base's and each profile's own."""
        return sections_named(self.layout, names)

    @cached_property
    def profiles(self) -> tuple[Profile, ...]:
        """The image's profiles with their ids and titles; empty for an image without any."""
        return profiles(self.layout)

    @cached_property
    def slices(self) -> tuple[Slice, ...]:
        """The base and each profile with their firmware and hardware id tables decoded."""
        return slices(self.layout.plain_sections)

    @cached_property
    def selector(self) -> Selector:
        """What machines select from the tables, whatever the image's own stub does: the newest model selects all."""
        return Selector(self.slices, MODELS[-1])


class Rule(Struct, frozen=True, kw_only=True):
    """A check: `check` yields a `Problem` for each thing that is wrong.

    >>> def no_splash(subject):
    ...     if not subject.sections(".splash"):
    ...         yield Problem("there is no .splash")
    >>> rule = Rule(
    ...     id="no-splash",
    ...     severity=Severity.NOTE,
    ...     summary="An image has a splash screen",
    ...     explanation="It is pretty.",
    ...     check=no_splash,
    ... )
    >>> rule.id
    'no-splash'
    """

    id: str
    severity: Severity
    summary: str
    explanation: str
    check: Callable[[CheckSubject], Iterable[Problem]]

    def findings(self, subject: CheckSubject) -> list[Finding]:
        return [
            Finding(rule=self.id, severity=self.severity, message=p.message, where=p.where, hint=p.hint)
            for p in self.check(subject)
        ]
