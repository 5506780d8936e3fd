"""Event logs of real machines, logs built as the specification has them, and damaged ones."""

import hashlib
import subprocess
from collections.abc import Mapping
from pathlib import Path
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuki_build.errors import FormatError
from fuki_build.formats import hashes
from fuki_build.formats.tcg import event_data, event_log, pcr_text
from fuki_build.formats.tcg.event_log import EventLog, LoggedEvent, LogKind
from fuki_build.formats.uefi import device_path
from fuki_build.measure.explain import registers

LOGS = Path(__file__).parents[1] / "data" / "event-logs"
IDS = {"sha1": 0x0004, "sha256": 0x000B, "sha384": 0x000C, "sha512": 0x000D, "sm3": 0x0012, "0x00ff": 0x00FF}
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
    assert (log.kind, log.banks, log.crypto_agile, log.flaw) == (LogKind.TPM, tuple(SIZES), True, "")
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
    data += legacy_record(5, 13, b"\3" * 20, b"") + legacy_record(7, 13, b"\4" * 20, b"last")
    log = event_log.decode(data)
    assert (log.banks, log.crypto_agile, log.kind, log.end) == (("sha1",), False, LogKind.TPM, len(data))
    assert [(e.register, e.type_name, e.digests, e.data) for e in log.events] == [
        (4, "EV_EFI_ACTION", {"sha1": b"\1" * 20}, b"Calling"),
        (4, "EV_SEPARATOR", {"sha1": b"\2" * 20}, bytes(4)),
        (5, "EV_IPL", {"sha1": b"\3" * 20}, b""),
        (7, "EV_IPL", {"sha1": b"\4" * 20}, b"last"),
    ]


@pytest.mark.parametrize(
    "first",
    [
        # What TCG's "EFI Platform Specification" 1.22 asks for, with a TPM 1.2.
        legacy_record(0, 3, bytes(20), b"Spec ID Event02\0" + bytes(12)),
        legacy_record(0, 13, bytes(20), b"Spec ID Event03\0" + bytes(12)),
    ],
)
def test_a_log_without_declared_banks_is_a_legacy_one(first):
    log = event_log.decode(first + legacy_record(4, 4, b"\2" * 20, bytes(4)))
    assert (log.crypto_agile, log.banks, len(log.events), log.flaw) == (False, ("sha1",), 2, "")


def test_memory_that_was_never_used_is_a_log_without_events():
    log = event_log.decode(bytes(64))
    assert (log.events, log.end, log.flaw, log.kind) == ((), 0, "", LogKind.TPM)


def test_the_log_of_a_confidential_guest_is_told_from_a_tpms_and_ends_where_its_memory_is_unused():
    data = spec_event({"sha384": 48}) + record(1, 4, {"sha384": b"\3" * 48}, bytes(4)) + b"\xff" * 4096
    log = event_log.decode(data)
    assert (log.kind, len(log.events), log.flaw, log.end) == (LogKind.CC, 2, "", len(data) - 4096)
    assert event_log.decode(data, LogKind.TPM).kind is LogKind.TPM


@pytest.mark.parametrize(("register", "kind"), [(4, LogKind.CC), (5, LogKind.TPM)])
def test_a_confidential_guest_has_four_registers_that_its_firmware_extends(register, kind):
    """UEFI 2.10, 38.4.1: TDX' measurement registers are 0 to 4."""
    log = event_log.decode(spec_event({"sha384": 48}) + record(register, 4, {"sha384": b"\3" * 48}, bytes(4)))
    assert log.kind is kind


@pytest.mark.parametrize("first", [spec_event({"sha256": 32}), legacy_record(0, 4, bytes(20), b"data")])
@pytest.mark.parametrize(
    ("rest", "flaw"),
    [
        (b"", ""),
        (bytes(1), ""),
        (bytes(4096), ""),
        (b"\xff" * 8, ""),
        (b"\xff" * 8 + b"anything", ""),
        (b"\xff" * 7, "event 1 is cut short"),
        (bytes(10) + b"\1", "event 1 is cut short"),
        (b"\1" + bytes(10), "event 1 is cut short"),
    ],
)
def test_a_log_ends_where_its_memory_is_unused(first, rest, flaw):
    log = event_log.decode(first + rest)
    assert (len(log.events), log.end) == (1, len(first))
    assert flaw in log.flaw
    assert bool(flaw) is bool(log.flaw)


def test_register_0_starts_with_the_locality_in_which_the_tpm_was_started():
    """PFP 1.06, 10.4.5.3: the register is 0…03 before the first event, as after a D-RTM or H-CRTM start."""
    locality = record(0, 3, {"sha256": bytes(32)}, b"StartupLocality\0\3")
    log = event_log.decode(spec_event({"sha256": 32}) + locality + record(0, 4, {"sha256": b"\1" * 32}, bytes(4)))
    assert registers(log, "sha256")[0] == hashlib.sha256(bytes(31) + b"\3" + b"\1" * 32).digest()


HCRTM = record(0, 0x80000010, {"sha256": bytes.fromhex("11" * 32)}, b"HCRTM")
LOCALITIES = {name: record(0, 3, {"sha256": bytes(32)}, b"StartupLocality\0" + bytes([name])) for name in (0, 3, 4)}


@pytest.mark.parametrize(
    ("events", "start"),
    [
        ([], 0),
        ([LOCALITIES[0]], 0),
        ([LOCALITIES[3]], 3),
        ([HCRTM], 4),
        ([LOCALITIES[4], HCRTM], 4),
        ([HCRTM, LOCALITIES[4]], 4),
        # The H-CRTM sequence is over before the TPM is started, in whatever locality that is.
        ([LOCALITIES[0], HCRTM], 4),
        ([LOCALITIES[3], HCRTM], 4),
        ([record(1, 0x80000010, {"sha256": bytes(32)}, b"HCRTM")], 0),
        ([record(4, 3, {"sha256": bytes(32)}, b"StartupLocality\0\3")], 0),
    ],
)
def test_register_0_starts_with_4_after_an_h_crtm_event(events, start):
    """TPM 2.0 Library, part 1, 34.3; PFP 1.06, 10.4.5.3 and 10.4.1 (EV_EFI_HCRTM_EVENT)."""
    last = record(0, 4, {"sha256": b"\1" * 32}, bytes(4))
    log = event_log.decode(spec_event({"sha256": 32}) + b"".join(events) + last)
    register = bytes(31) + bytes([start])
    if HCRTM in events:
        register = hashlib.sha256(register + bytes.fromhex("11" * 32)).digest()
    assert registers(log, "sha256")[0] == hashlib.sha256(register + b"\1" * 32).digest()


def test_an_h_crtm_event_as_a_machine_logs_it():
    event = record(0, 0x80000010, {"sha256": hashlib.sha256(b"crtm").digest()}, b"HCRTM")
    log = event_log.decode(spec_event({"sha256": 32}) + event)
    assert registers(log, "sha256")[0].hex().startswith("aad316f5")


def test_a_log_in_sm3_alone_is_replayed():
    """GB/T 32905-2016, A.1: the digest of "abc"; what extends is hashed by OpenSSL's command."""
    abc = bytes.fromhex("66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0")
    log = event_log.decode(spec_event({"sm3": 32}) + record(4, 13, {"sm3": abc}, b"abc"))
    assert (log.kind, log.banks) == (LogKind.TPM, ("sm3",))
    command = ["openssl", "dgst", "-sm3", "-binary"]
    openssl = subprocess.run(command, input=bytes(32) + abc, capture_output=True, check=True)
    assert registers(log, "sm3")[4] == openssl.stdout


def test_sm3_of_cryptography_stands_in_where_hashlib_has_none(monkeypatch):
    by_hashlib = hashes.new_hash("sm3", b"abc").digest()
    monkeypatch.setattr(hashlib, "algorithms_available", set())
    half = hashes.new_hash("sm3", b"ab")
    whole = half.copy()
    whole.update(b"c")
    assert whole.digest() == whole.digest() == by_hashlib
    assert half.hexdigest() == hashlib.new("sm3", b"ab").hexdigest()


def test_digests_of_unknown_algorithms_are_kept_by_number():
    log = event_log.decode(spec_event({"0x00ff": 24}) + record(4, 4, {"0x00ff": b"\7" * 24}, bytes(4)))
    assert log.banks == ("0x00ff",)
    assert event_data.digest_is_of_data(log.events[1]) is None


@pytest.mark.parametrize("size", [1, 64])
def test_digests_of_unknown_algorithms_have_the_size_that_is_declared(size):
    digest = {"0x00ff": bytes(range(size))}
    log = event_log.decode(spec_event({"0x00ff": size}) + record(4, 4, digest, b"data"))
    assert (log.events[1].digests, log.events[1].data, log.flaw) == (digest, b"data", "")


def test_as_many_algorithms_as_a_tpm_may_have_are_taken():
    algorithms = b"".join(pack("<HH", 0x100 + number, 8) for number in range(16))
    spec = pack("<16sIBBBBI", b"Spec ID Event03\0", 0, 0, 2, 0, 2, 16) + algorithms + b"\0"
    digests = b"".join(pack("<H8s", 0x100 + number, bytes([number])) for number in range(16))
    data = legacy_record(0, 3, bytes(20), spec) + pack("<III", 0, 4, 16) + digests + pack("<I", 4) + b"data"
    log = event_log.decode(data)
    assert (len(log.banks), log.flaw, log.events[1].digests["0x010f"]) == (16, "", b"\x0f" + bytes(7))


def test_a_boot_variable_may_be_measured_by_its_value_or_as_a_whole():
    """Firmware of real machines does either; PFP 1.06 has the value."""
    name = "BootOrder".encode("utf-16-le")
    data = pack("<16sQQ", bytes(16), len(name) // 2, 2) + name + b"\1\0"
    for measured, holds in ((b"\1\0", True), (data, True), (b"else", False)):
        event = LoggedEvent(1, 0x80000002, {"sha256": hashlib.sha256(measured).digest()}, data)
        assert event_data.digest_is_of_data(event) is holds


@pytest.mark.parametrize(
    ("kind", "data", "words"),
    [
        (0x01, pack("<QQ", 0xFFA90000, 0x350000), "3473408 bytes at 0xffa90000"),
        (0x01, b"ACPI DATA", "ACPI DATA"),
        (0x11, b"GCE NonHostInfo\0" + b"\1" + bytes(15), "GCE NonHostInfo: 01000000000000000000000000000000"),
        (0x8000000B, b"\x09TdxTable\0" + bytes(8), "TdxTable"),
    ],
)
def test_what_real_machines_log_is_told_in_words(kind, data, words):
    assert event_data.describe(LoggedEvent(0, kind, {}, data)) == words


class TestDamage:
    GOOD = spec_event({"sha1": 20, "sha256": 32}) + record(4, 4, {"sha1": bytes(20), "sha256": bytes(32)}, bytes(4))

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b"", "the first event is cut short"),
            (b"no event log at all, but some text of sufficient length", "unknown type"),
            (legacy_record(4, 4, bytes(20), bytes(4))[:-1], "event 0 is cut short"),
            (spec_event({"sha256": 20}), "digests of 20 bytes for sha256, which has 32"),
            (spec_event({"sha256": 0}), "digests of 0 bytes"),
            (spec_event({}), "0 algorithms"),
            (spec_event({"0x00ff": 65}), "digests of 65 bytes"),
            (
                legacy_record(0, 3, bytes(20), pack("<16sIBBBBI", b"Spec ID Event03", 0, 0, 2, 0, 2, 17)),
                "17 algorithms",
            ),
            (legacy_record(0, 3, bytes(20), b"Spec ID Event03\0"), "^the Spec ID event is cut short"),
            (bytes(17 * 1024 * 1024), "beyond belief"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_a_damaged_log_is_refused_with_what_is_wrong(self, data, words):
        with pytest.raises(FormatError, match=words):
            event_log.decode(data)

    @pytest.mark.parametrize(
        ("data", "events", "words"),
        [
            (GOOD[:-1], 1, "event 1 is cut short"),
            (GOOD + b"\1", 2, "event 2 is cut short"),
            (spec_event({"sha256": 32}) + record(0, 4, {"sha1": bytes(20)}, b""), 1, "undeclared algorithm"),
            (spec_event({"sha256": 32}) + pack("<III", 0, 4, 9), 1, "9 digests"),
            (spec_event({"sha256": 32}) + pack("<IIIH", 0, 4, 1, 11), 1, "event 1 is cut short"),
            (spec_event({"sha256": 32}) + pack("<II", 0, 4), 1, "the digests of event 1 is cut short"),
            (legacy_record(4, 4, bytes(20), bytes(4)) + legacy_record(4, 4, bytes(20), b"1234")[:-1], 1, "event 1 is"),
            (legacy_record(4, 4, bytes(20), bytes(4)) + b"\1", 1, "event 1 is cut short"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_what_stands_before_the_damage_is_whole(self, data, events, words):
        log = event_log.decode(data)
        assert words in log.flaw
        assert len(log.events) == events
        whole = event_log.decode(data[: log.end])
        assert (whole.events, whole.flaw, whole.end) == (log.events, "", log.end)

    @pytest.mark.parametrize("name", ["direct-262", "disk-257"])
    def test_no_cut_of_a_real_log_is_taken_for_a_whole_one(self, name):
        data = (LOGS / f"{name}.log").read_bytes()
        events = event_log.decode(data).events
        for end in range(0, len(data), 97):
            try:
                cut = event_log.decode(data[:end])
            except FormatError:
                continue
            assert len(cut.events) < len(events)
            assert cut.events == events[: len(cut.events)]
            assert cut.end <= end
            assert bool(cut.flaw) is (cut.end < end)


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

    @pytest.mark.parametrize(
        ("kind", "subtype", "content", "told"),
        [
            (1, 1, b"\x03\x1f", "Pci(0x1f,0x3)"),
            (1, 3, pack("<IQQ", 11, 0x820000, 0xA2FFFF), "MemoryMapped(0xb,0x820000,0xa2ffff)"),
            (1, 3, bytes(19), f"Path(1,3,{'00' * 19})"),
            (1, 4, bytes(range(16)) + b"more", "Vendor(03020100-0504-0706-0809-0a0b0c0d0e0f)"),
            (3, 10, bytes(range(16)), "Vendor(03020100-0504-0706-0809-0a0b0c0d0e0f)"),
            (2, 1, pack("<II", 0x0A0841D0, 2), "Acpi(0x0a0841d0,0x2)"),
            (3, 1, pack("<BBH", 1, 0, 7), "Ata(0x1,0x0,0x7)"),
            (3, 2, pack("<HH", 3, 4), "Scsi(0x3,0x4)"),
            (3, 5, pack("<BB", 2, 1), "USB(0x2,0x1)"),
            (3, 18, pack("<HHH", 2, 0xFFFF, 0), "Sata(0x2,0xffff,0x0)"),
            (3, 23, pack("<IQ", 1, 0), "NVMe(0x1,0x0)"),
            (4, 1, pack("<IQQ16sBB", 2, 63, 9, b"\x78\x56\x34\x12", 1, 1), "HD(2,12345678)"),
            (4, 2, pack("<IQQ", 1, 64, 128), "CDROM(0x1,0x40,0x80)"),
            (4, 4, "\\x".encode("utf-16-le") + b"\0\0y\0\0\0", "\\x"),
            (4, 4, b"\x00\xd8\0\0", "\ufffd"),
            # The end of one instance, behind which another follows (10.3.1).
            (0x7F, 0x01, b"", "Path(127,1,)"),
            (5, 0xFF, b"\1", "Path(5,255,01)"),
            (4, 6, bytes(range(16)), "FvFile(03020100-0504-0706-0809-0a0b0c0d0e0f)"),
            (4, 7, bytes(range(16)), "Fv(03020100-0504-0706-0809-0a0b0c0d0e0f)"),
            (5, 1, b"\1" * 40, f"Path(5,1,{'01' * 32})"),
        ],
    )
    def test_a_node_has_the_numbers_of_its_layout(self, kind, subtype, content, told):
        """UEFI 2.10, 10.3: the layouts; 10.6.1.6: their text."""
        assert device_path.decode(pack("<BBH", kind, subtype, 4 + len(content)) + content) == told

    def test_a_node_that_reaches_beyond_the_end_is_refused(self):
        with pytest.raises(FormatError, match="claims 200 bytes"):
            device_path.decode(pack("<BBH", 4, 4, 200))

    def test_a_path_without_end_is_refused(self):
        with pytest.raises(FormatError, match="beyond belief"):
            device_path.decode(pack("<BBH", 1, 9, 4) * 100)
