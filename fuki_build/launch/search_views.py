"""What a search for a digest found, as plain, typed values, and in words."""

from collections.abc import Iterator, Sequence

from fuki_build.formats.documents import Document, View
from fuki_build.measure.register_search_views import RegisterSearchView

_SHOWN = 8
"""Launches that are told in words; the document has all of them."""


class SearchedLaunchView(View, frozen=True, kw_only=True):
    """A launch that has the digest: the fields of `fuki launch`, and how its firmware was launched.

    `file` is the image or file that the firmware is in, `form` what was done to it. `change` is empty for a launch as
    asked for; else it says what is not as it should be.
    """

    file: str
    firmware: str
    profile: int | None
    form: str
    firmware_sha256: str
    technology: str
    register: str
    algorithm: str
    vmm: str | None
    vcpus: int | None
    cpu_model: str | None
    guest_features: int | None
    boot: str | None
    variant: str | None
    change: str


class TriedView(View, frozen=True, kw_only=True):
    """How many launches of a technology were computed, and how many with a change to them."""

    technology: str
    launches: int
    changed: int


class SearchSpaceView(View, frozen=True, kw_only=True):
    """What was combined: firmware in its forms, hypervisors, vCPUs as ranges, guest features, and direct boots."""

    firmware: tuple[str, ...]
    vmms: tuple[str, ...]
    vcpus: str
    guest_features: tuple[int, ...]
    boots: tuple[str, ...]


class LaunchSearchView(View, frozen=True, kw_only=True):
    """The launches that have the digest `expected`.

    `near` are launches that have it with a change, where none has it as asked for. `tried` tells what was computed.
    """

    expected: str
    found: tuple[SearchedLaunchView, ...]
    near: tuple[SearchedLaunchView, ...]
    tried: tuple[TriedView, ...]
    space: SearchSpaceView
    notes: tuple[str, ...]


class LaunchSearchDocument(Document, frozen=True):
    """What `fuki launch --expect --json` prints.

    `registers` are searches for a register of an image that has the value, RTMR1 and RTMR2, where no launch has it.
    """

    search: LaunchSearchView
    registers: tuple[RegisterSearchView, ...] = ()


def numbers_in_words(numbers: Sequence[int]) -> str:
    """Numbers as ranges: `1-4, 8`."""
    ranges: list[list[int]] = []
    for number in sorted(set(numbers)):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def search_in_words(search: LaunchSearchView) -> Iterator[str]:
    """A search as lines of text."""
    for launch in search.found[:_SHOWN]:
        yield f"it is {launch_in_words(launch)}"
    yield from _more(search.found)
    if search.found:
        return

    for launch in search.near[:_SHOWN]:
        yield f"near is {launch_in_words(launch)}: {launch.change}"
    yield from _more(search.near)

    if not search.tried:
        yield "no launch was tried"
        yield from (f"  {note}" for note in search.notes)
        return

    yield "tried were:"
    for tried in search.tried:
        more = f", and {tried.changed} with a change" if tried.changed else ""
        yield f"  {tried.technology}: {tried.launches} launches{more}"
    space = search.space
    yield f"  firmware: {'; '.join(space.firmware)}"
    yield f"  hypervisors: {', '.join(space.vmms)}; vCPUs: {space.vcpus}"
    yield f"  guest features: {', '.join(f'{features:#x}' for features in space.guest_features)}"
    yield f"  direct boots: {'; '.join(space.boots[:_SHOWN])}{_rest(space.boots)}"
    for note in search.notes:
        yield f"  {note}"
    if not search.near:
        yield (
            "which of them is nearest, a digest alone cannot tell: one other byte in any page changes it as a whole, "
            "and no launch that was tried passes through it"
        )


def launch_in_words(launch: SearchedLaunchView) -> str:
    """One launch: technology, firmware, and what else it depends on."""
    profile = "" if launch.profile is None else f"@{launch.profile}"
    name = launch.firmware if launch.firmware == launch.file else f"{launch.firmware}{profile} of {launch.file}"
    parts = [f"{launch.register} of {launch.technology}: {name} {launch.form}"]
    parts += [f"under {launch.vmm}"] if launch.vmm else []
    parts += [f"{launch.vcpus} vCPU{'s' if launch.vcpus != 1 else ''}"] if launch.vcpus else []
    parts += [launch.cpu_model] if launch.cpu_model else []
    parts += [f"guest features {launch.guest_features:#x}"] if launch.guest_features is not None else []
    parts += [f"booted directly: {launch.boot}"] if launch.boot else []
    parts += [launch.variant] if launch.variant else []
    return ", ".join(parts)


def _more(launches: Sequence[SearchedLaunchView]) -> Iterator[str]:
    if len(launches) > _SHOWN:
        yield f"… and {len(launches) - _SHOWN} more"


def _rest(boots: Sequence[str]) -> str:
    return f"; … {len(boots) - _SHOWN} more" if len(boots) > _SHOWN else ""
