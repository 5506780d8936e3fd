"""Registers after an update: what else was logged of a boot is kept, and the new image's events replace the old one's.

A log is in the order of time (TCG, "PC Client Platform Firmware Profile" 1.06, 10.1), so that what stands before the
image's start is firmware's and boot loaders', and what stub and kernel measure behind it is the image's.
"""

from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from enum import StrEnum
from functools import cached_property
from itertools import zip_longest

from msgspec import Struct

from fuki_build.errors import FormatError
from fuki_build.formats.hashes import SIZES
from fuki_build.formats.tcg.event_log import EventLog, LoggedEvent, LogKind
from fuki_build.measure import pcr4, pcr7, pcr11
from fuki_build.measure.events import CONSTANT, Event, Measurer
from fuki_build.measure.explain import Explanation, start_of
from fuki_build.measure.log_comparison import IMAGE_REGISTERS, Explained, number_in_log
from fuki_build.measure.predict import Prediction
from fuki_build.measure.registers import Digests, replay

_MAX_EVENTS = 4096
"""Limit of events in a register that the image extends; real logs have some fifty."""
_PROGRAMS = frozenset((Measurer.STUB, Measurer.KERNEL))


class EventChange(StrEnum):
    KEPT = "kept"
    """Another program's, or the same in both images."""
    REPLACED = "replaced"
    """The new image's, in place of an event of the old one."""
    ADDED = "added"
    """The new image's; the old one has nothing in its place."""
    REMOVED = "removed"
    """The old image's; the new one has nothing in its place."""


class UpdatedEvent(Struct, frozen=True, kw_only=True):
    """An event of a log after an update, by the log's number of the register; `logged` is None where it was added.

    `predicted` is the new image's event; None for what is kept from others, and for what was removed.
    """

    register: int
    change: EventChange
    logged: LoggedEvent | None = None
    predicted: Event | None = None

    @property
    def unknown(self) -> str:
        """Why the digests after the update cannot be told; empty if they can, or if nothing is measured."""
        return self.predicted.unknown if self.predicted and self.change is not EventChange.KEPT else ""

    @property
    def digests(self) -> Digests:
        """What is measured after the update; empty for nothing, and for what cannot be told."""
        if self.logged and self.change is EventChange.KEPT:
            return self.logged.digests
        return self.predicted.digests if self.predicted else {}


class UpdatedLog(Struct, frozen=True, dict=True):
    """A log as it will be after the update, register by register, each in the order of time."""

    log: EventLog
    events: tuple[UpdatedEvent, ...]

    @property
    def banks(self) -> tuple[str, ...]:
        return tuple(bank for bank in self.log.banks if bank in SIZES)

    @cached_property
    def _by_register(self) -> dict[int, list[UpdatedEvent]]:
        registers: dict[int, list[UpdatedEvent]] = {}
        for event in self.events:
            registers.setdefault(event.register, []).append(event)
        return registers

    @property
    def registers(self) -> Sequence[int]:
        """Those that are extended before or after the update."""
        return sorted(self._by_register)

    def unknown(self, register: int) -> str:
        """Why a register cannot be told; empty if it can."""
        return "; ".join(dict.fromkeys(e.unknown for e in self._by_register.get(register, ()) if e.unknown))

    def value(self, register: int, bank: str, phase: Sequence[str] = ()) -> bytes | None:
        """A register's value, for PCR 11 of a TPM after the words of a phase path; None if it cannot be told."""
        events = self._by_register.get(register, [])
        if any(event.unknown for event in events):
            return None

        extended = [event.digests[bank] for event in events if bank in event.digests]
        if phase and register == pcr11.PCR and self.log.kind is LogKind.TPM:
            extended += pcr11.phase_digests(phase, bank)
        return replay(bank, extended, self.start(register, bank))

    def start(self, register: int, bank: str) -> bytes:
        """A register's value before its first event."""
        return start_of(self.log, register, SIZES[bank])

    def changes(self, register: int) -> bool:
        """Whether anything else is measured into a register, or may be, than before the update."""
        return any(event.change is not EventChange.KEPT for event in self._by_register.get(register, ()))


def start_of_image(explanation: Explanation, *, by_prediction: bool) -> int | None:
    """The place in the log of the event for the image's start; None where the log has none.

    It is the predicted one; or, where the explanation is by another image than the one that started, the last program
    before the stub's first event.
    """
    last: int | None = None
    for at, item in enumerate(explanation.events):
        if by_prediction:
            if item.predicted and item.predicted.pcr == pcr4.PCR and item.predicted.source == "the image":
                return at
        elif item.by is Measurer.STUB:
            return last
        elif item.event.type_name == pcr4.APPLICATION:
            last = at
    return None


def of_old_image(log: EventLog, explanation: Explanation, start: int, *, by_prediction: bool) -> frozenset[int]:
    """The places in the log of events that the old image causes, which started at `start`.

    What vouches for it belongs to it only if it was measured right before it: firmware measures each authority once, so
    an earlier one vouches for an earlier program, and stays.
    """
    items = explanation.events
    own = {number_in_log(pcr, log.kind) for pcr in IMAGE_REGISTERS}
    earlier = max((at for at in range(start) if items[at].event.type_name == pcr4.APPLICATION), default=-1)

    def is_old(at: int, item: Explained) -> bool:
        if item.event.type_name == pcr7.AUTHORITY and item.by is Measurer.FIRMWARE:
            return earlier < at
        if by_prediction:
            return item.predicted is not None and item.predicted.source != CONSTANT
        is_own = item.by in _PROGRAMS and item.event.register in own
        return at == start or (at > start and (is_own or item.event.type_name == pcr4.APPLICATION))

    return frozenset(at for at, item in enumerate(items) if item.event.extends and is_old(at, item))


def updated(log: EventLog, old: frozenset[int], start: int, prediction: Prediction) -> UpdatedLog:
    """The log after an update: `old` are the places of events that the old image causes, `start` is that of its start.

    `prediction` is of the new image, in the banks of the log that can be computed. Raises `FormatError` for a log that
    no machine writes.
    """
    banks = [bank for bank in log.banks if bank in SIZES]
    logged: dict[int, list[_Logged]] = {}
    for at, event in enumerate(log.events):
        if event.extends:
            logged.setdefault(event.register, []).append(_Logged(event, at in old, at < start))

    new: dict[int, list[Event]] = {}
    for predicted in prediction.events:
        new.setdefault(number_in_log(predicted.pcr, log.kind), []).append(predicted)

    return UpdatedLog(
        log,
        tuple(
            event
            for register in sorted({*logged, *new})
            for event in _merged(register, logged.get(register, []), new.get(register, []), banks)
        ),
    )


class _Logged(Struct, frozen=True):
    event: LoggedEvent
    is_old: bool
    is_before: bool


def _merged(
    register: int, logged: Sequence[_Logged], new: Sequence[Event], banks: Sequence[str]
) -> Iterator[UpdatedEvent]:
    """The events of one register: what both have stays, and between that the new events take the place of the old."""
    if new and len(logged) > _MAX_EVENTS:
        raise FormatError(f"a log with {len(logged)} events in register {register} is beyond belief")

    before = [tuple(item.event.digests.get(bank) for bank in banks) for item in logged]
    # A digest that cannot be told equals no other.
    after = [tuple(event.digests.get(bank, at) for bank in banks) for at, event in enumerate(new)]

    for operation, i, j, k, end in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if operation == "equal":
            for item, predicted in zip(logged[i:j], new[k:end], strict=True):
                yield UpdatedEvent(register=register, change=EventChange.KEPT, logged=item.event, predicted=predicted)
        else:
            yield from _replaced(register, logged[i:j], new[k:end])


def _replaced(register: int, logged: Sequence[_Logged], new: Sequence[Event]) -> Iterator[UpdatedEvent]:
    """New events in the place of the first old one; without any, behind what was logged before the image's start."""
    old = [item.event for item in logged if item.is_old]
    place = next((at for at, item in enumerate(logged) if item.is_old), None)
    if place is None:
        place = next((at for at, item in enumerate(logged) if not item.is_before), len(logged))

    kept = [
        UpdatedEvent(register=register, change=EventChange.KEPT, logged=item.event)
        for item in logged
        if not item.is_old
    ]
    yield from kept[:place]
    yield from _paired(register, old, new)
    yield from kept[place:]


def _paired(register: int, old: Iterable[LoggedEvent], new: Iterable[Event]) -> Iterator[UpdatedEvent]:
    for event, predicted in zip_longest(old, new):
        change = EventChange.REPLACED
        if predicted is None:
            change = EventChange.REMOVED
        elif event is None:
            change = EventChange.ADDED
        yield UpdatedEvent(register=register, change=change, logged=event, predicted=predicted)
