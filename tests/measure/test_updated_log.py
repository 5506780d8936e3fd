"""Registers after an update, summed up by hand: what is kept, replaced, added and removed, and what cannot be told."""

from collections.abc import Mapping, Sequence
from hashlib import sha256, sha384

import pytest
from msgspec.structs import replace

from fuki_build.errors import FormatError
from fuki_build.formats.tcg.event_log import TYPES, EventLog, LoggedEvent, LogKind
from fuki_build.measure.events import CONSTANT, Event, Measurer
from fuki_build.measure.explain import Explanation
from fuki_build.measure.log_comparison import Explained, RegisterVerdict
from fuki_build.measure.predict import Case, Prediction
from fuki_build.measure.updated_log import EventChange, UpdatedLog, of_old_image, start_of_image, updated

NUMBERS = {name: number for number, name in TYPES.items()}
BANKS = ("sha256", "sha384")
CASE = Case(profile=None, firmware=None, devicetree=None, measured=())
APPLICATION = "EV_EFI_BOOT_SERVICES_APPLICATION"


def digests(data: bytes) -> Mapping[str, bytes]:
    return {"sha256": sha256(data).digest(), "sha384": sha384(data).digest()}


def logged(register: int, data: bytes, kind: str = "EV_IPL") -> LoggedEvent:
    return LoggedEvent(register, NUMBERS[kind], digests(data), data)


def event(pcr: int, data: bytes, unknown: str = "") -> Event:
    return Event(
        pcr=pcr,
        type="EV_IPL",
        what="what",
        source="base",
        by=Measurer.STUB,
        digests={} if unknown else digests(data),
        unknown=unknown,
    )


def log_with(events: Sequence[LoggedEvent], kind: LogKind = LogKind.TPM, banks: Sequence[str] = BANKS) -> EventLog:
    return EventLog(kind=kind, banks=tuple(banks), events=tuple(events), crypto_agile=True, end=0)


def after(log: EventLog, new: Sequence[Event], *old: int, start: int = 0) -> UpdatedLog:
    return updated(log, frozenset(old), start, Prediction(CASE, BANKS, tuple(new)))


def extended(*contents: bytes, start: bytes = bytes(32)) -> bytes:
    value = start
    for content in contents:
        value = sha256(value + sha256(content).digest()).digest()
    return value


def changes(update: UpdatedLog) -> list[tuple[str, bytes | None, bool]]:
    """Of each event the change, what was logged, and whether it has a new one."""
    return [(one.change, one.logged.data if one.logged else None, one.predicted is not None) for one in update.events]


def test_new_events_take_the_place_of_the_old_images():
    log = log_with([logged(11, b"before"), logged(11, b"one"), logged(11, b"two"), logged(11, b"behind")])
    update = after(log, [event(11, b"new")], 1, 2, start=1)
    assert changes(update) == [
        (EventChange.KEPT, b"before", False),
        (EventChange.REPLACED, b"one", True),
        (EventChange.REMOVED, b"two", False),
        (EventChange.KEPT, b"behind", False),
    ]
    assert update.value(11, "sha256") == extended(b"before", b"new", b"behind")
    assert update.changes(11)
    assert [one.register for one in update.events] == [11] * 4

    more = after(log, [event(11, b"new"), event(11, b"newer"), event(11, b"newest")], 1, 2, start=1)
    assert [change for change, *_ in changes(more)][1:4] == [
        EventChange.REPLACED,
        EventChange.REPLACED,
        EventChange.ADDED,
    ]
    assert more.value(11, "sha256") == extended(b"before", b"new", b"newer", b"newest", b"behind")


def test_where_the_old_image_had_nothing_new_events_come_behind_what_was_before_its_start():
    log = log_with(
        [logged(4, b"firmware"), logged(4, b"image", APPLICATION), logged(12, b"menu"), logged(12, b"later")]
    )
    events = [log.events[2], log.events[0], log.events[1], log.events[3]]
    update = after(log_with(events), [event(12, b"new")], 2, start=2)
    assert update.value(12, "sha256") == extended(b"menu", b"new", b"later")
    assert update.value(4, "sha256") == extended(b"firmware")
    none_behind = after(log_with(events[:3]), [event(12, b"new")], 2, start=2)
    assert none_behind.value(12, "sha256") == extended(b"menu", b"new")
    assert after(log_with(()), [event(9, b"new")]).value(9, "sha256") == extended(b"new")


def test_new_events_stand_where_the_old_ones_stood_and_not_where_the_image_started():
    log = log_with([logged(12, b"credential"), logged(12, b"old"), logged(12, b"later")])
    update = after(log, [event(12, b"new")], 1, start=0)
    assert update.value(12, "sha256") == extended(b"credential", b"new", b"later")


def test_what_both_images_have_is_kept_in_its_place():
    log = log_with([logged(11, b"same"), logged(11, b"old"), logged(11, b"other"), logged(11, b"end")])
    update = after(log, [event(11, b"same"), event(11, b"new"), event(11, b"end")], 0, 1, 3)
    assert changes(update) == [
        (EventChange.KEPT, b"same", True),
        (EventChange.REPLACED, b"old", True),
        (EventChange.KEPT, b"other", False),
        (EventChange.KEPT, b"end", True),
    ]
    assert update.value(11, "sha256") == extended(b"same", b"new", b"other", b"end")
    unchanged = after(log, [event(11, one) for one in (b"same", b"old", b"other", b"end")], 0, 1, 2, 3)
    assert not unchanged.changes(11)


def test_what_cannot_be_told_makes_its_register_unknown():
    log = log_with([logged(9, b"options"), logged(9, b"initrd"), logged(11, b"section")])
    new = [event(9, b"", "no console"), event(9, b"", "no initrd"), event(9, b"", "no console"), event(11, b"section")]
    update = after(log, new, 0, 1, 2)
    assert (update.value(9, "sha256"), update.unknown(9)) == (None, "no console; no initrd")
    assert (update.value(11, "sha256"), update.unknown(11)) == (extended(b"section"), "")
    assert update.registers == [9, 11]
    assert update.changes(9)


def test_phases_extend_register_11_of_a_tpm_alone():
    contents = [logged(register, b"x") for register in (3, 11, 12)]
    for kind in LogKind:
        update = after(log_with(contents, kind), [])
        for register in (3, 11, 12):
            phases = (b"enter-initrd", b"leave-initrd") if (kind, register) == (LogKind.TPM, 11) else ()
            value = update.value(register, "sha256", ("enter-initrd", "leave-initrd"))
            assert value == extended(b"x", *phases)


def test_a_register_without_events_is_what_it_starts_with():
    log = log_with([LoggedEvent(0, NUMBERS["EV_EFI_HCRTM_EVENT"], digests(b"HCRTM"), b"HCRTM"), logged(1, b"x")])
    update = after(log, [])
    assert update.start(0, "sha256") == bytes(31) + b"\4"
    assert update.value(0, "sha256") == extended(b"HCRTM", start=bytes(31) + b"\4")
    assert update.value(1, "sha256") == extended(b"x")
    assert (update.value(23, "sha384"), update.unknown(23), update.changes(23)) == (bytes(48), "", False)


def test_only_banks_that_can_be_computed_are_compared():
    log = log_with([logged(11, b"same")], banks=("sha256", "0x00ff"))
    update = after(log, [event(11, b"same")], 0)
    assert update.banks == ("sha256",)
    assert [change for change, *_ in changes(update)] == [EventChange.KEPT]


def test_an_event_that_cannot_be_told_equals_none_that_lacks_the_banks():
    odd = LoggedEvent(11, NUMBERS["EV_IPL"], {"0x00ff": b"x"}, b"odd")
    update = after(log_with([odd]), [event(11, b"", "nobody knows")], 0)
    assert changes(update) == [(EventChange.REPLACED, b"odd", True)]
    assert update.value(11, "sha256") is None


def test_what_stays_is_found_among_hundreds_that_are_alike():
    same = [b"x"] * 300
    log = log_with([logged(11, content) for content in (b"old", *same)])
    update = after(log, [event(11, content) for content in (b"new", *same)], *range(301))
    assert [change for change, *_ in changes(update)] == [EventChange.REPLACED] + [EventChange.KEPT] * 300


def test_a_guests_registers_are_those_of_its_log():
    update = after(log_with([logged(3, b"old")], LogKind.CC), [event(11, b"new"), event(12, b"newer")], 0)
    assert update.registers == [3]
    assert update.value(3, "sha256") == extended(b"new", b"newer")


LOGGED = [
    (4, "EV_EFI_ACTION", Measurer.FIRMWARE, False),
    (7, "EV_EFI_VARIABLE_AUTHORITY", Measurer.FIRMWARE, False),
    (4, APPLICATION, Measurer.FIRMWARE, False),
    (12, "EV_IPL", Measurer.BOOT_MENU, False),
    (7, "EV_EFI_VARIABLE_AUTHORITY", Measurer.FIRMWARE, True),
    (4, APPLICATION, Measurer.FIRMWARE, True),
    (11, "EV_IPL", Measurer.STUB, True),
    (7, "EV_EFI_VARIABLE_AUTHORITY", Measurer.SHIM, False),
    (4, APPLICATION, Measurer.LOADER, True),
    (12, "EV_NO_ACTION", Measurer.STUB, False),
    (12, "EV_IPL", Measurer.STUB, True),
    (9, "EV_EVENT_TAG", Measurer.KERNEL, True),
    (9, "EV_EVENT_TAG", Measurer.UNKNOWN, False),
    (13, "EV_IPL", Measurer.STUB, False),
    (5, "EV_EFI_ACTION", Measurer.FIRMWARE, False),
]
"""Register, type and program of events, and whether the image causes it that is the second program of two."""
START = 5


def explanation(*, by_prediction: bool) -> Explanation:
    items = []
    for at, (register, kind, by, is_old) in enumerate(LOGGED):
        predicted = replace(event(register, b"x"), type=kind, source="the image" if at == START else "base")
        constant = replace(predicted, source=CONSTANT) if kind == "EV_EFI_ACTION" else None
        items.append(
            Explained(
                event=logged(register, b"x", kind),
                verdict=RegisterVerdict.IMAGE,
                what="",
                data_matches=None,
                by=by,
                predicted=(predicted if is_old and register != 7 else constant) if by_prediction else None,
            )
        )
    return Explanation(None, None, tuple(items), ())


@pytest.mark.parametrize("by_prediction", [True, False])
def test_what_the_old_image_causes_begins_with_what_vouches_for_it(by_prediction: bool):
    told = explanation(by_prediction=by_prediction)
    assert start_of_image(told, by_prediction=by_prediction) == START
    log = log_with([item.event for item in told.events])
    old = of_old_image(log, told, START, by_prediction=by_prediction)
    assert old == {at for at, (*_, is_old) in enumerate(LOGGED) if is_old}

    # Without one of its own, what vouched for the program before it vouches for it too, and stays.
    kept = [at for at in range(len(LOGGED)) if at != START - 1]
    fewer = Explanation(None, None, tuple(told.events[at] for at in kept), ())
    old = of_old_image(log_with([item.event for item in fewer.events]), fewer, START - 1, by_prediction=by_prediction)
    assert {kept[at] for at in old} == {at for at, (*_, is_old) in enumerate(LOGGED) if is_old} - {START - 1}


@pytest.mark.parametrize("by_prediction", [True, False])
def test_of_the_first_program_all_that_vouches_is_its_own(by_prediction: bool):
    told = explanation(by_prediction=by_prediction)
    alone = Explanation(None, None, tuple(told.events[at] for at in (1, START, 6)), ())
    log = log_with([item.event for item in alone.events])
    assert of_old_image(log, alone, 1, by_prediction=by_prediction) == {0, 1, 2}


def test_a_log_without_an_image_has_no_start_of_it():
    told = explanation(by_prediction=True)
    without = Explanation(None, None, tuple(item for at, item in enumerate(told.events) if at != START), ())
    assert start_of_image(without, by_prediction=True) is None
    no_stub = Explanation(None, None, tuple(item for item in told.events if item.by is not Measurer.STUB), ())
    assert start_of_image(no_stub, by_prediction=False) is None
    no_program = Explanation(None, None, (told.events[6],), ())
    assert start_of_image(no_program, by_prediction=False) is None


def test_what_extends_nothing_is_left_out():
    log = log_with([logged(11, b"x", "EV_NO_ACTION"), logged(11, b"y")])
    assert after(log, [], 0).value(11, "sha256") == extended(b"y")


def test_a_log_of_more_events_than_machines_write_is_refused_where_they_would_be_compared():
    events = [logged(11, b"x")] * 4097
    with pytest.raises(FormatError, match="4097 events in register 11"):
        after(log_with(events), [event(11, b"new")])
    assert len(after(log_with(events), [event(12, b"new")]).events) == 4098
    assert len(after(log_with(events[1:]), [event(11, b"x")]).events) == 4096
