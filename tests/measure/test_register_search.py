"""Which measurements give a register's value: of logs of real guests, with events left out, added, exchanged."""

from collections.abc import Sequence
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from fuki_build.formats.tcg import event_log
from fuki_build.formats.tcg.event_log import EventLog
from fuki_build.measure.log_search import search_log
from fuki_build.measure.register_search import (
    MAX_EXTENDS,
    RegisterSearch,
    RegisterSearcher,
    RegisterSource,
    Unit,
)
from tests.formats.test_event_log import LOGS


@pytest.fixture
def log() -> EventLog:
    return event_log.decode((LOGS / "disk-262.log").read_bytes())


def digests_of(log: EventLog, register: int) -> list[bytes]:
    return [event.digests["sha256"] for event in log.events if event.extends and event.register == register]


def replayed(digests: Sequence[bytes], start: bytes = bytes(32)) -> bytes:
    """TPM 2.0 Library, part 1, 17.2."""
    value = start
    for digest in digests:
        value = sha256(value + digest).digest()
    return value


def words(search: RegisterSearch) -> list[tuple[str, ...]]:
    return [match.changes for match in search.matches]


def test_a_log_gives_the_registers_that_its_machine_had(log):
    compared = 0
    for line in (LOGS / "disk-262.pcrs").read_text().partition("sha256:")[2].partition("sha384:")[0].splitlines():
        number, colon, value = line.partition(":")
        if colon and number.strip().isdecimal() and digests_of(log, int(number)):
            search = search_log(log, "sha256", int(number), bytes.fromhex(value.strip().removeprefix("0x")))
            assert words(search) == [()]
            compared += 1
    assert compared >= 5


def test_an_event_that_was_left_out_is_named(log):
    digests = digests_of(log, 4)
    search = search_log(log, "sha256", 4, replayed([*digests[:2], *digests[3:]]))
    (left_out,) = words(search)
    assert left_out[0].startswith("without PciRoot")
    assert left_out[0].endswith("BOOTX64.EFI")


def test_events_that_came_in_another_order_are_named(log):
    digests = digests_of(log, 12)
    search = search_log(log, "sha256", 12, replayed(digests[::-1]))
    assert words(search) == [
        ("with from=smbios in place of from=addon", "with from=addon in place of from=smbios"),
    ]


def test_a_section_is_one_thing_with_its_name(log):
    digests = digests_of(log, 11)
    assert digests[2] == sha256(b".osrel\0").digest()
    search = search_log(log, "sha256", 11, replayed([*digests[:2], *digests[4:]]))
    assert words(search) == [("without section .osrel",)]


@pytest.mark.parametrize("number", [3, -1])
def test_a_name_without_its_content_counts(log, number):
    """One of a section, and the last of the register."""
    own = [event for event in log.events if event.register == 11]
    cut = replace(log, events=tuple(event for event in log.events if event is not own[number]))
    assert words(search_log(cut, "sha256", 11, replayed(digests_of(cut, 11)))) == [()]


def test_phases_come_behind_the_log(log):
    more = [sha256(word).digest() for word in (b"enter-initrd", b"leave-initrd")]
    (match,) = search_log(log, "sha256", 11, replayed([*digests_of(log, 11), *more])).matches
    assert (match.changes, match.phase) == ((), ("enter-initrd", "leave-initrd"))


def test_phases_come_behind_a_change(log):
    digests = digests_of(log, 11)
    phases = ("enter-initrd", "leave-initrd")
    value = replayed([*digests[:2], *digests[4:], *(sha256(word.encode()).digest() for word in phases)])
    search = search_log(log, "sha256", 11, value)
    assert [(match.changes, match.phase) for match in search.matches] == [(("without section .osrel",), phases)]


def test_a_search_without_success_says_that_all_was_tried(log):
    search = search_log(log, "sha256", 12, b"\1" * 32)
    assert (search.matches, search.complete) == ((), True)


def test_a_register_that_ended_early_says_before_what(log):
    digests = digests_of(log, 7)
    search = search_log(log, "sha256", 7, replayed(digests[:3]))
    ((ended,),) = words(search)
    assert ended.startswith("ended before db, ")


def test_the_first_register_starts_with_the_locality(log):
    digests = digests_of(log, 0)
    assert words(search_log(log, "sha256", 0, replayed(digests, bytes(31) + bytes([log.locality])))) == [()]


def unit(name: str, slot: str = "a") -> Unit:
    return Unit(name, slot, (sha256(name.encode()).digest(),))


def searched(value: bytes, *sources: tuple[str, Sequence[Unit]]) -> RegisterSearch:
    return RegisterSearcher(
        "sha256", value, [RegisterSource(label, tuple(units)) for label, units in sources], phases=False
    ).run()


def value_of(*units: Unit) -> bytes:
    return replayed([digest for one in units for digest in one.digests])


def test_what_another_case_has_may_be_added():
    one, two, three = unit("one"), unit("two", "b"), unit("three", "c")
    search = searched(value_of(one, three, two), ("first", (one, two)), ("second", (three,)))
    assert [(match.label, *match.changes) for match in search.matches] == [("first", "with three added")]


@given(st.lists(st.sampled_from("abcdefgh"), min_size=2, max_size=8, unique=True), st.data())
def test_any_single_change_is_found(names: list[str], data: st.DataObject):
    """One unit left out, exchanged for the other content that its slot has, or added at any place."""
    units = [unit(name, name) for name in names]
    other = [unit(f"other {name}", name) for name in names]
    place = data.draw(st.integers(0, len(units) - 1))
    kind = data.draw(st.sampled_from(["without", "exchange", "added"]))
    changed = {
        "without": [*units[:place], *units[place + 1 :]],
        "exchange": [*units[:place], other[place], *units[place + 1 :]],
        "added": [*units[:place], other[place], *units[place:]],
    }[kind]
    words_of = {
        "without": f"without {names[place]}",
        "exchange": f"with other {names[place]} in place of {names[place]}",
        "added": f"with other {names[place]} added",
    }
    search = searched(value_of(*changed), ("case", units), ("other", other))
    assert ("case", words_of[kind]) in [(match.label, *match.changes) for match in search.matches]


def test_the_fewest_changes_are_told():
    """Of a value that takes one exchange in one case, and three in another, the one is told."""
    units = {name: (unit(f"old {name}", name), unit(f"new {name}", name)) for name in "abcd"}
    old, new = ([pair[side] for pair in units.values()] for side in (0, 1))
    search = searched(value_of(old[0], *new[1:]), ("old", old), ("new", new))
    assert [(match.label, len(match.changes)) for match in search.matches] == [("new", 1)]
    search = searched(value_of(old[0], old[1], *new[2:]), ("old", old), ("new", new))
    assert {(match.label, len(match.changes)) for match in search.matches} == {("old", 2), ("new", 2)}


def test_cases_that_measure_the_same_are_told_together():
    search = searched(value_of(unit("one")), ("first", [unit("one")]), ("second", [unit("one")]))
    assert [match.label for match in search.matches] == ["first or second"]
    assert search.sources == 1


def test_what_comes_before_a_change_is_computed_once():
    """With one change in n units, all of which have no alternative: n prefixes, and what is left behind each."""
    units = [unit(str(number), str(number)) for number in range(20)]
    search = searched(bytes(32), ("case", units))
    assert search.complete
    # Exchanging three of twenty, without sharing, would take 20 * 19 * 18 / 6 * 20 hashes; leaving two out 190 * 18.
    assert search.extends < 20_000


@pytest.mark.parametrize("count", [30, 5000])
def test_a_search_ends(count: int):
    """All of one slot, so that each may stand for each; and more than recursion could go through."""
    units = [unit(str(number)) for number in range(count)]
    search = searched(b"\1" * 32, ("case", units))
    assert search.matches == ()
    assert search.extends <= MAX_EXTENDS + count + 1
    assert not search.complete
