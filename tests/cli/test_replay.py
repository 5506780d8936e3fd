"""`fuki replay` of logs that are cut, in banks that are not known, or empty: always with a word."""

import json
from hashlib import sha256

import pytest

from fuki_build.formats.tcg import event_log
from fuki_build.testing import invoke
from tests.formats.test_event_log import LOGS, record, spec_event


@pytest.fixture
def log() -> bytes:
    return (LOGS / "disk-262.log").read_bytes()


def test_a_cut_log_shows_what_is_whole_and_says_where_it_ends(tmp_path, log):
    (tmp_path / "cut.log").write_bytes(log[:-700])
    whole = event_log.decode(log)
    outcome = invoke(tmp_path, "replay", "cut.log", "--json")
    assert outcome.code == 3
    document = json.loads(outcome.out)
    shown = document["events"]
    assert 20 < len(shown) < len(whole.events)
    assert [event["digests"] for event in shown] == [
        {bank: digest.hex() for bank, digest in event.digests.items()} for event in whole.events[: len(shown)]
    ]
    assert document["end"] == event_log.decode(log[: document["end"]]).end <= len(log) - 700
    assert f"the log is damaged behind its first {document['end']} bytes" in outcome.err
    assert document["flaw"] in outcome.err


def test_a_cut_log_held_against_an_image_or_values_is_no_success(tmp_path, log):
    (tmp_path / "cut.log").write_bytes(log[:-700])
    outcome = invoke(tmp_path, "replay", "cut.log", "--expect", LOGS / "disk-262.pcrs")
    assert outcome.code == 3
    assert "damaged behind" in outcome.err
    assert "EV_S_CRTM_VERSION" in outcome.out


def test_a_bank_that_is_not_known_is_named(tmp_path):
    digests = {"sha256": bytes(32), "0x00ff": bytes(24)}
    event = record(4, 4, digests, bytes(4))
    (tmp_path / "two.log").write_bytes(spec_event({"sha256": 32, "0x00ff": 24}) + event)
    outcome = invoke(tmp_path, "replay", "two.log")
    assert outcome.code == 0
    assert "not computed: the bank 0x00ff, an algorithm that is not known" in outcome.out


def test_a_log_of_unknown_banks_alone_is_no_success(tmp_path):
    event = record(4, 4, {"0x00ff": bytes(24)}, bytes(4))
    (tmp_path / "odd.log").write_bytes(spec_event({"0x00ff": 24}) + event)
    outcome = invoke(tmp_path, "replay", "odd.log")
    assert outcome.code == 1
    assert "no register can be computed" in outcome.out
    assert "none of its banks can be computed: 0x00ff" in outcome.err


def test_a_log_in_sm3_is_computed_and_compared(tmp_path):
    event = record(4, 4, {"sm3": b"\1" * 32}, bytes(4))
    (tmp_path / "sm3.log").write_bytes(spec_event({"sm3": 32}) + event)
    document = json.loads(invoke(tmp_path, "replay", "sm3.log", "--json").out)
    (register,) = document["registers"]
    value = register["values"]["sm3"]
    assert (document["not-computed"], register["name"]) == ([], "PCR 4")
    assert invoke(tmp_path, "replay", "sm3.log", "--expect", f"sm3:4={value}").code == 0
    # As tpm2_pcrread prints them: the heading tells this bank from sha256, whose values are as long.
    (tmp_path / "pcrs").write_text(f"sm3_256:\n  4 : 0x{value.upper()}\n")
    assert invoke(tmp_path, "replay", "sm3.log", "--expect", "pcrs").code == 0
    (tmp_path / "pcrs").write_text(f"sm3_256:\n  4 : 0x{'00' * 32}\n")
    assert invoke(tmp_path, "replay", "sm3.log", "--expect", "pcrs").code == 3


def test_a_log_without_events_says_so(tmp_path):
    (tmp_path / "empty.log").write_bytes(spec_event({"sha256": 32}))
    outcome = invoke(tmp_path, "replay", "empty.log")
    assert outcome.code == 0
    assert "no register was extended" in outcome.out


def value_without(log: bytes, register: int, number: int) -> str:
    """A register as it would be without one event of the log."""
    events = [event for event in event_log.decode(log).events if event.extends and event.register == register]
    value = bytes(32)
    for event in (*events[:number], *events[number + 1 :]):
        value = sha256(value + event.digests["sha256"]).digest()
    return value.hex()


def test_another_value_than_the_log_s_is_explained_by_the_event_that_did_not_come(tmp_path, log):
    (tmp_path / "log").write_bytes(log)
    expected = f"12={value_without(log, 12, 0)}"
    outcome = invoke(tmp_path, "replay", "log", "--expect", expected, "--json")
    assert outcome.code == 3
    assert json.loads(outcome.out)["reasons"] == [
        {"register": 12, "text": "the expected value (sha256) is that of the log, without from=addon"}
    ]
    assert (
        "PCR 12: the expected value (sha256) is that of the log"
        in invoke(tmp_path, "replay", "log", "--expect", expected).out
    )


def test_a_value_that_no_change_to_the_log_gives_is_said_to_be_that(tmp_path, log):
    (tmp_path / "log").write_bytes(log)
    outcome = invoke(
        tmp_path, "replay", "log", "--expect", f"12={'ab' * 32}", "--expect", f"sha1:12={'ab' * 20}", "--json"
    )
    (reason,) = json.loads(outcome.out)["reasons"]
    assert reason["text"].startswith("the expected value (sha256) is not that of the log, nor with one left out")


def test_values_that_hold_need_no_reason(tmp_path, log):
    (tmp_path / "log").write_bytes(log)
    outcome = invoke(tmp_path, "replay", "log", "--expect", LOGS / "disk-262.pcrs", "--json")
    assert (outcome.code, json.loads(outcome.out)["reasons"]) == (0, [])
