"""Verdicts on single events: by a prediction, and without one by register, type and the program behind it."""

from collections.abc import Mapping, Sequence
from hashlib import sha1, sha256

import pytest
from msgspec.structs import replace

from fuki_build.formats.tcg.event_log import TYPES, EventLog, LoggedEvent, LogKind
from fuki_build.measure.events import CONSTANT, Event, Measurer
from fuki_build.measure.log_comparison import RegisterVerdict, compare, explain_event, number_in_log
from fuki_build.measure.predict import Case, Prediction

NUMBERS = {name: number for number, name in TYPES.items()}
CASE = Case(profile=None, firmware=None, devicetree=None, measured=())
APPLICATION, ACTION, TAG, IPL = "EV_EFI_BOOT_SERVICES_APPLICATION", "EV_EFI_ACTION", "EV_EVENT_TAG", "EV_IPL"


def digests(data: bytes) -> Mapping[str, bytes]:
    return {"sha1": sha1(data, usedforsecurity=False).digest(), "sha256": sha256(data).digest()}


def logged(register: int, kind: str, data: bytes = b"data") -> LoggedEvent:
    return LoggedEvent(register, NUMBERS[kind], digests(data), data)


def event(pcr: int, kind: str, data: bytes | None = b"data", source: str = "base") -> Event:
    """A predicted event; without data it cannot be told."""
    return Event(
        pcr=pcr,
        type=kind,
        what="what",
        source=source,
        by=Measurer.STUB,
        digests={} if data is None else digests(data),
        unknown="nobody knows" if data is None else "",
    )


def log_with(events: Sequence[LoggedEvent], kind: LogKind = LogKind.TPM) -> EventLog:
    return EventLog(kind=kind, banks=("sha1", "sha256"), events=tuple(events), crypto_agile=True, end=0)


def compared(
    events: Sequence[LoggedEvent], *predicted: Event, kind: LogKind = LogKind.TPM
) -> tuple[list[str], list[Event]]:
    items, missing = compare(log_with(events, kind), Prediction(CASE, ("sha256",), predicted))
    return [item.verdict for item in items], list(missing)


def test_registers_of_a_guest_stand_for_those_of_a_tpm():
    """UEFI 2.10, 38.4.1: MRTD for PCR 0, RTMR0 for 1 and 7, RTMR1 for 2 to 6, RTMR2 for 8 to 15."""
    numbers = {0: 0, 1: 1, 7: 1, **dict.fromkeys(range(2, 7), 2), **dict.fromkeys(range(8, 16), 3)}
    assert {pcr: number_in_log(pcr, LogKind.CC) for pcr in range(16)} == numbers
    assert {pcr: number_in_log(pcr, LogKind.TPM) for pcr in range(24)} == {pcr: pcr for pcr in range(24)}


@pytest.mark.parametrize(
    ("register", "kind", "verdict", "in_guest"),
    [
        (0, "EV_EFI_PLATFORM_FIRMWARE_BLOB", "firmware", 0),
        (1, "EV_EFI_VARIABLE_BOOT", "firmware", 1),
        (4, APPLICATION, "undecided", 2),
        (4, ACTION, "firmware", 2),
        (4, "EV_SEPARATOR", "firmware", 2),
        (5, "EV_EFI_GPT_EVENT", "firmware", 2),
        (11, IPL, "undecided", 3),
        (9, TAG, "undecided", 3),
        (0, "EV_NO_ACTION", "information", 0),
    ],
)
def test_without_an_image_only_firmwares_own_is_told(register: int, kind: str, verdict: str, in_guest: int):
    for number, log_kind in ((register, LogKind.TPM), (in_guest, LogKind.CC)):
        one = logged(number, kind)
        item = explain_event(one, None, log_with([one], log_kind))
        assert item.verdict == verdict
        assert (item.by is None) is (verdict == "information")
        assert item.predicted is None


@pytest.mark.parametrize(
    ("register", "kind", "verdict", "in_guest"),
    [
        (4, APPLICATION, "unexpected", 2),
        (4, ACTION, "unexpected", None),
        (11, IPL, "unexpected", 3),
        (5, "EV_EFI_GPT_EVENT", "firmware", 2),
        (8, IPL, "undecided", None),
        (14, IPL, "undecided", None),
        (15, IPL, "undecided", None),
    ],
)
def test_with_an_image_what_it_does_not_account_for_in_its_registers_is_unexpected(
    register: int, kind: str, verdict: str, in_guest: int | None
):
    own = (event(4, APPLICATION, b"x"), event(9, TAG, b"x"), event(11, IPL, b"x"), event(12, IPL, b"x"))
    assert compared([logged(register, kind)], *own) == ([verdict], list(own))
    if in_guest is not None:
        assert compared([logged(in_guest, kind)], *own, kind=LogKind.CC) == ([verdict], list(own))


def test_in_a_guest_what_firmware_says_in_a_shared_register_is_firmwares():
    assert compared([logged(2, ACTION)], event(4, APPLICATION, b"x"), kind=LogKind.CC)[0] == ["firmware"]


def test_each_prediction_accounts_for_one_event_of_its_register_with_all_its_digests():
    once = event(11, IPL)
    assert compared([logged(11, IPL), logged(11, IPL)], once) == (["image", "unexpected"], [])
    assert compared([logged(12, IPL)], once) == (["unexpected"], [once])
    assert compared([logged(3, IPL)], once, kind=LogKind.CC) == (["image"], [])
    assert compared([logged(2, IPL)], once, kind=LogKind.CC)[1] == [once]

    other = replace(logged(11, IPL), digests={**digests(b"data"), "sha1": bytes(20)})
    assert compared([other], once) == (["unexpected"], [once])
    assert compared([replace(other, digests={"sha256": digests(b"data")["sha256"]})], once) == (["image"], [])
    assert compared([replace(other, digests={"sha384": bytes(48)})], once) == (["unexpected"], [once])
    # What the log says of it is no matter: types are not measured.
    assert compared([logged(11, TAG)], once) == (["image"], [])


def test_an_unknown_event_is_any_of_its_register_and_type_and_one_of_them():
    unknown = event(9, TAG, None, "initrd")
    assert compared([logged(9, TAG), logged(9, TAG)], unknown) == (["undecided", "unexpected"], [])
    assert compared([logged(9, IPL)], unknown) == (["unexpected"], [unknown])
    assert compared([logged(11, TAG)], unknown)[1] == [unknown]
    # What is known goes first, even if the other one stands before it.
    known = event(9, TAG, b"data", "command line")
    assert compared([logged(9, TAG), logged(9, TAG, b"other")], unknown, known) == (["image", "undecided"], [])


def test_of_unknown_events_only_the_initrds_has_to_be_there():
    initrd, options, passed = event(9, TAG, None, "initrd"), event(9, TAG, None, "command line"), event(12, IPL, None)
    assert compared([], initrd, options, passed) == ([], [initrd])


def test_what_firmware_measures_everywhere_is_firmwares_even_if_it_was_predicted():
    constant = replace(event(4, ACTION), by=Measurer.FIRMWARE, source=CONSTANT)
    assert compared([logged(4, ACTION)], constant) == (["firmware"], [])
    assert compared([logged(4, ACTION)], replace(constant, source="the image")) == (["image"], [])
    assert compared([logged(4, ACTION)], replace(constant, by=Measurer.STUB)) == (["image"], [])


def test_an_item_says_what_was_predicted_and_what_its_data_proves():
    expected = replace(event(4, ACTION, b"data"), what="in words")
    (item,), _ = compare(log_with([logged(4, ACTION)]), Prediction(CASE, ("sha256",), (expected,)))
    assert (item.what, item.by, item.predicted, item.data_matches) == ("in words", Measurer.STUB, expected, True)
    (item,), _ = compare(log_with([logged(4, ACTION)]), Prediction(CASE, ("sha256",), (event(4, ACTION, None),)))
    assert (item.what, item.verdict) == ("perhaps what: nobody knows", RegisterVerdict.UNDECIDED)
