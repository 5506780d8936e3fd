"""What is told of an event of PCR 7 that was not expected; its data are the machine's, and may be anything."""

from hashlib import sha256
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuki_build.formats.tcg import event_data, event_log
from fuki_build.formats.tcg.event_data import MeasuredVariable
from fuki_build.formats.tcg.event_log import LoggedEvent
from fuki_build.measure.pcr7 import AUTHORITY, SecureBootPolicy, SecureBootState
from fuki_build.measure.secure_boot_reasons import variable_words
from tests.formats.test_event_log import LOGS

DATABASE = UUID("d719b2cb-3d3a-4596-a3bc-dad00e67656f")
SHIM = UUID("605dab50-e046-4300-abb6-3dd810dd8b23")
DRIVER_CONFIG = "EV_EFI_VARIABLE_DRIVER_CONFIG"
POLICY = SecureBootPolicy(SecureBootState.ON, {"db": (LOGS / "db.esl").read_bytes()}, {})
NUMBERS = {name: number for number, name in event_log.TYPES.items()}


def logged(kind: str, data: bytes) -> LoggedEvent:
    """An event whose digest is its data's."""
    return LoggedEvent(register=7, type=NUMBERS[kind], digests={"sha256": sha256(data).digest()}, data=data)


def words(kind: str, vendor: UUID, name: str, value: bytes) -> str:
    return variable_words(logged(kind, event_data.encode_variable(MeasuredVariable(vendor, name, value))), POLICY)


def test_a_shim_is_known_by_its_level():
    told = words(AUTHORITY, SHIM, "SbatLevel", b"sbat,1,2021030218\n")
    assert told == "shim measured its SBAT level (sbat,1,2021030218): a shim started, which is not expected"


def test_what_shim_verified_with_is_named():
    assert words(AUTHORITY, SHIM, "MokList", bytes(48)).startswith(
        "shim vouched for a program by MokList (the digest 00"
    )


def test_a_program_that_db_lists_by_its_digest_is_told_by_that():
    told = words(AUTHORITY, DATABASE, "db", bytes(16) + b"\xab" * 32)
    assert (
        told == f"what vouched for a program is the digest {'ab' * 32} of db, and nothing is expected to be vouched for"
    )


def test_other_variables_are_called_strange():
    assert "none of Secure Boot's" in words(DRIVER_CONFIG, SHIM, "db", b"")


def test_data_that_was_not_measured_is_not_believed():
    event = logged(DRIVER_CONFIG, b"anything")
    lying = LoggedEvent(register=7, type=event.type, digests={"sha256": bytes(32)}, data=event.data)
    assert "another digest" in variable_words(lying, POLICY)


@pytest.mark.parametrize("kind", [DRIVER_CONFIG, AUTHORITY])
@given(data=st.data())
def test_damaged_data_are_told_too(kind, data):
    value = bytearray(
        event_data.encode_variable(
            MeasuredVariable(DATABASE, data.draw(st.sampled_from(["db", "SecureBoot", "dbx"])), POLICY.variables["db"])
        )
    )
    for at, byte in data.draw(st.lists(st.tuples(st.integers(0, len(value) - 1), st.integers(0, 255)), max_size=6)):
        value[at] = byte
    assert variable_words(logged(kind, bytes(value[: data.draw(st.integers(0, len(value)))])), POLICY)
