"""Event logs of real machines, logs built as the specification has them, and damaged ones."""

from collections.abc import Mapping
from pathlib import Path
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuki_build.errors import FormatError
from fuki_build.formats import device_path, event_data, event_log, pcr_text
from fuki_build.formats.event_log import EventLog, LoggedEvent, LogKind
from fuki_build.measure.explain import registers

LOGS = Path(__file__).parents[1] / "data" / "event-logs"
IDS = {"sha1": 0x0004, "sha256": 0x000B, "sha384": 0x000C, "sha512": 0x000D}
SIZES = {"sha1": 20, "sha256": 32, "sha384": 48, "sha512": 64}


def legacy_record(register: int, kind: int, digest: bytes, data: bytes) -> bytes:
    """A TCG_PCClientPCREvent."""
    return pack("<II20sI", register, kind, digest, len(data)) + data


def spec_event(banks: Mapping[str, int]) -> bytes:
    algorithms = b"".join(pack("<HH", IDS[bank], size) for bank, size in banks.items())
    data = pack("<16sIBBBBI", b"Spec ID Event03\0", 0, 0, 2, 0, 2, len(banks)) + algorithms + b"\0"
    return legacy_record(0, 3, bytes(20), data)


def record(register: int, kind: int, digests: Mapping[str, bytes], data: bytes) -> bytes:
    """A TCG_PCR_EVENT2."""
    body = b"".join(pack("<H", IDS[bank]) + digest for bank, digest in digests.items())
    return pack("<III", register, kind, len(digests)) + body + pack("<I", len(data)) + data


@pytest.mark.parametrize("name", ["direct-262", "disk-262", "disk-257", "secure-boot-on", "secure-boot-off"])
def test_replaying_a_real_log_gives_the_registers_that_the_machines_tpm_had(name):
    log = event_log.decode((LOGS / f"{name}.log").read_bytes())
    assert (log.kind, log.banks, log.crypto_agile) == (LogKind.TPM, tuple(IDS), True)
    values = pcr_text.decode((LOGS / f"{name}.pcrs").read_text())
    assert len(values) == 20
    for (bank, register), value in values.items():
        assert registers(log, bank)[register] == value


def test_a_real_log_tells_what_was_booted():
    log = event_log.decode((LOGS / "disk-257.log").read_bytes())
    words = [event_data.describe(event) for event in log.events]
    assert words[0] == "Spec ID Event03"
    assert r"PciRoot(0x0)/Pci(0x2,0x0)/\EFI\BOOT\BOOTX64.EFI" in words
    assert "SecureBoot, 0 bytes" in words
    assert "BootOrder = 0200000001000300" in words
    assert "Calling EFI Application from Boot Option" in words
    assert "Linux: load options: LOADED_IMAGE::LoadOptions" in words
    assert "2026.08+ds-2" in words
    assert not [event for event in log.events if event_data.digest_is_of_data(event) is False]


def test_an_event_whose_data_is_not_what_was_measured_is_found_out():
    log = event_log.decode((LOGS / "disk-262.log").read_bytes())
    action = next(event for event in log.events if event.type_name == "EV_EFI_ACTION")
    forged = LoggedEvent(action.register, action.type, action.digests, b"Booting to something else")
    assert event_data.digest_is_of_data(action) is True
    assert event_data.digest_is_of_data(forged) is False


def test_a_legacy_log_has_one_bank():
    data = legacy_record(4, 0x80000007, b"\1" * 20, b"Calling") + legacy_record(4, 4, b"\2" * 20, bytes(4))
    log = event_log.decode(data)
    assert (log.banks, log.crypto_agile, log.kind) == (("sha1",), False, LogKind.TPM)
    assert [(e.register, e.type_name, e.digests["sha1"][0]) for e in log.events] == [
        (4, "EV_EFI_ACTION", 1),
        (4, "EV_SEPARATOR", 2),
    ]


def test_the_log_of_a_confidential_guest_is_told_from_a_tpms_and_ends_where_its_memory_is_unused():
    data = spec_event({"sha384": 48}) + record(1, 4, {"sha384": b"\3" * 48}, bytes(4)) + b"\xff" * 4096
    log = event_log.decode(data)
    assert (log.kind, len(log.events)) == (LogKind.CC, 2)
    assert event_log.decode(data, LogKind.TPM).kind is LogKind.TPM


def test_register_0_starts_with_the_locality_in_which_the_tpm_was_started():
    """PFP 1.06, 10.4.5.3: the register is 0…03 before the first event, as after a D-RTM or H-CRTM start."""
    locality = record(0, 3, {"sha256": bytes(32)}, b"StartupLocality\0\3")
    log = event_log.decode(spec_event({"sha256": 32}) + locality + record(0, 4, {"sha256": b"\1" * 32}, bytes(4)))
    import hashlib

    assert registers(log, "sha256")[0] == hashlib.sha256(bytes(31) + b"\3" + b"\1" * 32).digest()


class TestDamage:
    GOOD = spec_event({"sha1": 20, "sha256": 32}) + record(4, 4, {"sha1": bytes(20), "sha256": bytes(32)}, bytes(4))

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b"", "the first event is cut short"),
            (b"no event log at all, but some text of sufficient length", "unknown type"),
            (GOOD[:-1], "event 1 is cut short"),
            (GOOD + b"\1", "event 2 is cut short"),
            (spec_event({"sha256": 32}) + record(0, 4, {"sha1": bytes(20)}, b""), "undeclared algorithm"),
            (spec_event({"sha256": 32}) + pack("<III", 0, 4, 9), "9 digests"),
            (spec_event({"sha256": 0}), "digests of 0 bytes"),
            (spec_event({}), "0 algorithms"),
            (bytes(17 * 1024 * 1024), "beyond belief"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_a_damaged_log_is_refused_with_what_is_wrong(self, data, words):
        with pytest.raises(FormatError, match=words):
            event_log.decode(data)

    @pytest.mark.parametrize("name", ["direct-262", "disk-257"])
    def test_no_cut_of_a_real_log_is_taken_for_a_whole_one(self, name):
        data = (LOGS / f"{name}.log").read_bytes()
        whole = len(event_log.decode(data).events)
        for end in range(0, len(data), 97):
            try:
                assert len(event_log.decode(data[:end]).events) < whole
            except FormatError:
                continue


DIGESTS = st.fixed_dictionaries({bank: st.binary(min_size=size, max_size=size) for bank, size in SIZES.items()})
EVENTS = st.builds(
    LoggedEvent,
    register=st.integers(0, 23),
    type=st.sampled_from(sorted(event_log.TYPES)),
    digests=DIGESTS,
    data=st.binary(max_size=80),
)


@given(st.lists(EVENTS, max_size=6))
def test_what_was_encoded_as_specified_is_decoded(events):
    data = spec_event(SIZES) + b"".join(record(e.register, e.type, e.digests, e.data) for e in events)
    if events and not any(data[-1:]):
        data += b"\xff" * 8
    log = event_log.decode(data)
    assert isinstance(log, EventLog)
    assert list(log.events[1:]) == events


@given(EVENTS)
def test_every_event_can_be_described_on_one_printable_piece_of_text(event):
    assert len(event_data.describe(event)) < 20_000


class TestDevicePaths:
    def test_a_path_on_a_partition(self):
        disk = pack("<BBHIQQ16sBB", 4, 1, 42, 1, 2048, 4096, bytes(range(16)), 2, 2)
        name = "\\EFI\\x".encode("utf-16-le") + b"\0\0"
        path = pack("<BBHII", 2, 1, 12, 0x0A0341D0, 0) + disk + pack("<BBH", 4, 4, 4 + len(name)) + name
        text = device_path.decode(path + pack("<BBH", 0x7F, 0xFF, 4))
        assert text == r"PciRoot(0x0)/HD(1,03020100-0504-0706-0809-0a0b0c0d0e0f)/\EFI\x"

    def test_a_node_that_reaches_beyond_the_end_is_refused(self):
        with pytest.raises(FormatError, match="claims 200 bytes"):
            device_path.decode(pack("<BBH", 4, 4, 200))

    def test_a_path_without_end_is_refused(self):
        with pytest.raises(FormatError, match="beyond belief"):
            device_path.decode(pack("<BBH", 1, 9, 4) * 100)
