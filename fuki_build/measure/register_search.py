"""Which measurements give a register's value: as predicted, or with one of them left out, added or exchanged.

A register is a chain of hashes, so that everything up to a change is computed once. Fewer changes are tried first.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations

from msgspec import Struct

from fuki_build.formats.hashes import SIZES, new_hash
from fuki_build.measure import pcr11
from fuki_build.measure.events import Event

PHASES = ("enter-initrd", "leave-initrd", "sysinit", "ready", "shutdown", "final")
"""The words that systemd's services extend PCR 11 with, in the order of a boot (systemd-pcrphase.service(8))."""
_STANDARD = 5
"""The paths that are tried behind a change: none, and the first word, the first two, up to `ready`."""
MAX_EXTENDS = 250_000
"""Limit of hashes for one register; an exact value takes some hundred."""
MAX_SOURCES = 5000
"""Limit of cases of one image; more than so many are not all tried."""
MAX_MATCHES = 8
_LABELS = 3
_MAX_UNITS = 200
"""Limit of units of a case that are changed; an image has some twenty, firmware some fifty."""


class Unit(Struct, frozen=True):
    """Measurements that come together, in `words`; units in one `slot` stand for one another."""

    words: str
    slot: str
    digests: tuple[bytes, ...]


class RegisterSource(Struct, frozen=True):
    """What is measured into a register in one case, which `label` names."""

    label: str
    units: tuple[Unit, ...]


class RegisterMatch(Struct, frozen=True, kw_only=True):
    """A case that gives the value, after these changes to it and this path of boot phases."""

    label: str
    changes: tuple[str, ...]
    phase: tuple[str, ...] = ()


class RegisterSearch(Struct, frozen=True, kw_only=True):
    """What gives a value: nothing, where `matches` is empty; not all that was to be tried was, unless `complete`."""

    matches: tuple[RegisterMatch, ...]
    sources: int
    extends: int
    complete: bool


class _Spent(Exception):  # noqa: N818 - no error, the end of a search
    """No more hashes are allowed."""


class _Change(Struct, frozen=True):
    """One unit in another one's place; `new` is None where it is left out, `old` where one is added."""

    old: Unit | None
    new: Unit | None

    @property
    def words(self) -> str:
        if self.new is None and self.old is not None:
            return f"without {self.old.words}"
        if self.old is None and self.new is not None:
            return f"with {self.new.words} added"
        return f"with {self.new.words if self.new else ''} in place of {self.old.words if self.old else ''}"


def units_of(events: Iterable[Event], bank: str, origin: str = "") -> tuple[Unit, ...]:
    """The measurements of one register as units: of a section, its name and its content are one.

    `origin` is added to the words of each. Events without a digest in the bank are left out.
    """
    units: list[Unit] = []
    name: Event | None = None
    for event in events:
        if bank not in event.digests:
            continue

        section = event.what.removeprefix("content of ")
        if name is not None and name.what == f"name of {section}":
            digests = (name.digests[bank], event.digests[bank])
            units.append(Unit(f"section {section}{origin}", section, digests))
            name = None
            continue

        if name is not None:
            units.append(_unit(name, bank, origin))
        name = event if event.what.startswith("name of ") and event.pcr == pcr11.PCR else None
        if name is None:
            units.append(_unit(event, bank, origin))

    if name is not None:
        units.append(_unit(name, bank, origin))
    return tuple(units)


def _unit(event: Event, bank: str, origin: str) -> Unit:
    return Unit(f"{event.what}{origin}", _slot(event), (event.digests[bank],))


def _slot(event: Event) -> str:
    """One of Secure Boot's variables stands for itself only, with other contents."""
    if event.type != "EV_EFI_VARIABLE_DRIVER_CONFIG":
        return event.type
    return f"{event.type} {re.split('[ ,]', event.what, maxsplit=1)[0]}"


class RegisterSearcher:
    """The search for one value; `start` is what the register has at first."""

    def __init__(
        self, bank: str, value: bytes, sources: Sequence[RegisterSource], *, phases: bool, start: bytes | None = None
    ) -> None:
        self._bank = bank
        self._value = value
        self._phases = phases
        self._start = bytes(SIZES[bank]) if start is None else start
        self._extends = 0
        self._is_all = len(sources) < MAX_SOURCES
        self._sources = _distinct(sources)
        self._units = _pool(self._sources)

    def run(self) -> RegisterSearch:
        """Exact values, then one change, then two, then three exchanges: all with the fewest that give the value."""
        matches: list[RegisterMatch] = []
        complete = self._is_all and all(len(source.units) <= _MAX_UNITS for source in self._sources)
        try:
            matches = list(self._exact())
            for changes in () if matches else (1, 2, 3):
                matches = self._changed(changes)
                if matches:
                    break
        except _Spent:
            complete = False
        return RegisterSearch(
            matches=tuple(matches[:MAX_MATCHES]),
            sources=len(self._sources),
            extends=self._extends,
            complete=complete or bool(matches),
        )

    def _extend(self, value: bytes, digests: Iterable[bytes]) -> bytes:
        for digest in digests:
            self._extends += 1
            value = new_hash(self._bank, value + digest).digest()
        if self._extends > MAX_EXTENDS:
            raise _Spent
        return value

    def _exact(self) -> Iterator[RegisterMatch]:
        for source in self._sources:
            value = self._extend(self._start, (digest for unit in source.units for digest in unit.digests))
            for path in _subsequences(PHASES) if self._phases else [()]:
                if self._extend(value, pcr11.phase_digests(path, self._bank)) == self._value:
                    yield RegisterMatch(label=source.label, changes=(), phase=path)

    def _changed(self, count: int) -> list[RegisterMatch]:
        ended = list(self._ended()) if count == 1 else []
        return ended + [
            RegisterMatch(label=source.label, changes=tuple(change.words for change in changes), phase=path)
            for source in self._sources
            if len(source.units) <= _MAX_UNITS
            for changes, path in self._walk(source.units, self._start, count, ())
        ]

    def _ended(self) -> Iterator[RegisterMatch]:
        """Cases in which more than the last unit is missing."""
        for source in self._sources:
            value = self._start
            for unit in source.units[:-1]:
                if value == self._value:
                    yield RegisterMatch(label=source.label, changes=(f"ended before {unit.words}",))
                value = self._extend(value, unit.digests)

    def _walk(
        self, units: Sequence[Unit], value: bytes, count: int, done: tuple[_Change, ...]
    ) -> Iterator[tuple[tuple[_Change, ...], tuple[str, ...]]]:
        """Every way to make `count` changes to the rest of the units, where `value` is what came of those before."""
        if not count:
            ended = self._extend(value, (digest for unit in units for digest in unit.digests))
            yield from ((done, path) for path in self._paths(ended))
            return

        for change in self._additions(done, count):
            after = self._extend(value, change.new.digests if change.new else ())
            yield from self._walk(units, after, count - 1, (*done, change))
        if not units:
            return

        first, rest = units[0], units[1:]
        for change in self._exchanges(first, done, count):
            after = self._extend(value, change.new.digests if change.new else ())
            yield from self._walk(rest, after, count - 1, (*done, change))
        yield from self._walk(rest, self._extend(value, first.digests), count, done)

    def _paths(self, value: bytes) -> Iterator[tuple[str, ...]]:
        for number in range(_STANDARD if self._phases else 1):
            if number:
                value = self._extend(value, [pcr11.phase_digest(PHASES[number - 1], self._bank)])
            if value == self._value:
                yield PHASES[:number]

    def _additions(self, done: Sequence[_Change], count: int) -> Iterator[_Change]:
        """Units that some other case has: only as the one change there is, for there are many places for each."""
        if count == 1 and not done:
            yield from (_Change(None, unit) for units in self._units.values() for unit in units)

    def _exchanges(self, unit: Unit, done: Sequence[_Change], count: int) -> Iterator[_Change]:
        yield from (_Change(unit, other) for other in self._units[unit.slot] if other.digests != unit.digests)
        if count + len(done) < 3:
            yield _Change(unit, None)


def _distinct(sources: Sequence[RegisterSource]) -> list[RegisterSource]:
    """Each sequence of measurements once, with the labels of the first cases that have it."""
    distinct: dict[tuple[tuple[bytes, ...], ...], list[RegisterSource]] = {}
    for source in sources:
        distinct.setdefault(tuple(unit.digests for unit in source.units), []).append(source)
    return [RegisterSource(_label(alike), alike[0].units) for alike in distinct.values()]


def _label(alike: Sequence[RegisterSource]) -> str:
    labels = list(dict.fromkeys(source.label for source in alike))
    more = [f"{len(labels) - _LABELS} other cases"] if len(labels) > _LABELS else []
    return " or ".join([*labels[:_LABELS], *more])


def _pool(sources: Sequence[RegisterSource]) -> Mapping[str, list[Unit]]:
    """All units by slot, each content once."""
    pool: dict[str, dict[tuple[bytes, ...], Unit]] = {}
    for source in sources:
        for unit in source.units:
            pool.setdefault(unit.slot, {}).setdefault(unit.digests, unit)
    return {slot: list(units.values()) for slot, units in pool.items()}


def _subsequences(words: Sequence[str]) -> list[tuple[str, ...]]:
    """All ways to leave words out, none first, and then the paths that occur without anything left out."""
    paths = [path for length in range(len(words) + 1) for path in combinations(words, length)]
    return sorted(paths, key=lambda path: path != tuple(words[: len(path)]))
