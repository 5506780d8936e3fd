"""The hand-over program's table and outcome, laid out as docs/reference/hand-over.md has them."""

from struct import pack
from uuid import UUID

import pytest

from fuki_build.errors import FormatError
from fuki_build.formats.uki import hand_over_outcome, hand_over_program
from fuki_build.formats.uki.hand_over_outcome import HandOverOutcome, HandOverResult
from fuki_build.formats.uki.hand_over_program import HandOverOptions, ProgramTable

CHID = UUID("817fca52-ae83-52f5-8642-9497f79d49d0")
INTERFACE = "vm-launch-update"


def table(version: int = 1, size: int = 48, entry: int = 0x1000, interface: bytes = INTERFACE.encode()) -> bytes:
    return pack("<8sHHIIII20s", b"FUKIHAND", version, size, entry, 0x2000, 5, 0, interface)


def outcome(result: int, version: int = 1, size: int = 67, fwid: bytes = b"fw\0") -> bytes:
    head = pack("<HHHHIIQHH", version, size, result, 38, 5, 3, 0x123456789A, 1, 2)
    return head + pack("<IQQ", 9, 1 << 32, 1 << 40) + CHID.bytes_le + fwid


def test_a_table_is_decoded_by_its_layout():
    options = HandOverOptions.LASTING | HandOverOptions.POWER_OFF
    expected = ProgramTable(INTERFACE, 0x1000, 0x2000, options)
    assert hand_over_program.decode(table() + bytes(8), 0x1001) == expected
    assert hand_over_program.decode(table(entry=48), 49).entry == 48
    assert hand_over_program.decode(table(size=64, entry=64), 65).entry == 64


@pytest.mark.parametrize(
    ("section", "size", "message"),
    [
        (table()[:-1], 0x2000, "^the hand-over program's table is cut short"),
        (b"F" + table(), 0x2000, "no hand-over program of fuki's"),
        (table(version=2), 0x2000, "unknown version 2, 48 bytes"),
        (table(version=0), 0x2000, "unknown version 0, 48 bytes"),
        (table(size=47), 0x2000, "unknown version 1, 47 bytes"),
        (table(entry=47), 0x2000, "starts at 0x2f, outside"),
        (table(), 0x1000, "starts at 0x1000, outside of its 4096 bytes"),
        (table(interface=b"caf\xe9"), 0x2000, "not ASCII"),
    ],
)
def test_a_table_that_does_not_hold_is_refused(section, size, message):
    with pytest.raises(FormatError, match=message):
        hand_over_program.decode(section, size)


@pytest.mark.parametrize("name", ["", INTERFACE, "n" * 19])
def test_a_table_is_filled_in_and_the_program_behind_it_kept(name):
    filled = hand_over_program.fill_in(
        bytes(48) + b"code", ProgramTable(name, 0x1000, 0x2000, HandOverOptions.LASTING | HandOverOptions.POWER_OFF)
    )
    assert filled == table(interface=name.encode()) + b"code"


def test_a_name_has_room_for_its_nul():
    with pytest.raises(FormatError, match="at most 19 bytes, not 20"):
        hand_over_program.fill_in(bytes(48), ProgramTable("n" * 20, 48))


def test_an_outcome_is_decoded_by_its_layout():
    assert hand_over_outcome.decode(outcome(4) + b"more") == HandOverOutcome(
        result=HandOverResult.REFUSED,
        reason=38,
        options=HandOverOptions.LASTING | HandOverOptions.POWER_OFF,
        profile=3,
        fwid="fw",
        firmware_size=0x123456789A,
        chid_type=9,
        chid=CHID,
        device_version=1,
        device_status=2,
        device_capabilities=1 << 32,
        device_control=1 << 40,
    )


def test_where_nothing_was_selected_no_firmware_is_told():
    decoded = hand_over_outcome.decode(outcome(6))
    assert (decoded.result.label, decoded.fwid, decoded.chid_type, decoded.chid) == ("nothing-selected", "", None, None)


def test_what_a_guest_had_whose_host_has_no_device():
    """Of QEMU 7.2, with an image that has firmware `fw` for it."""
    decoded = hand_over_outcome.decode(
        bytes.fromhex(
            "0100430003001300000000000000000000000100000000000000000009000000"
            "0000000000000000000000000000000052ca7f8183aef55286429497f79d49d0667700"
        )
    )
    assert (decoded.result, decoded.fwid, decoded.chid, decoded.chid_type) == (HandOverResult.NO_DEVICE, "fw", CHID, 9)
    assert decoded.reason_text == "its fw_cfg has no file etc/vmlaunchupdate"


@pytest.mark.parametrize(("reason", "told"), [(0, ""), (1, "the image has no hardware ids"), (99, "reason 99")])
def test_a_reason_is_told_in_words_as_far_as_it_is_known(reason, told):
    record = bytearray(outcome(4))
    record[6] = reason
    assert hand_over_outcome.decode(bytes(record)).reason_text == told


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (outcome(4)[:63], "^the variable FukiHandOver is cut short"),
        (outcome(4, version=2), "version 2, this fuki knows 1"),
        (outcome(4, size=68), "claims 68 bytes, it has 67"),
        (outcome(4, size=64, fwid=b"\0"), "claims 64 bytes, it has 65"),
        (outcome(4, size=64)[:48] + bytes(16) + b"\0", "claims 64 bytes, it has 65"),
        (outcome(4, size=66), "claims 66 bytes, it has 67"),
        (outcome(0), "unknown result 0"),
        (outcome(8), "unknown result 8"),
    ],
)
def test_an_outcome_that_does_not_hold_is_refused(data, message):
    with pytest.raises(FormatError, match=message):
        hand_over_outcome.decode(data)


def test_a_name_that_is_no_text_is_shown_all_the_same():
    assert hand_over_outcome.decode(outcome(4, fwid=b"f\xff\0")).fwid == "f\ufffd"


def test_an_outcome_may_have_no_name():
    assert hand_over_outcome.decode(outcome(4, size=65, fwid=b"\0")).fwid == ""
