"""Data of events as the specification lays it out (PFP 1.06, 10.4), and as a machine with Secure Boot logged it."""

from pathlib import Path
from struct import pack
from uuid import UUID

import pytest

from fuki_build.errors import FormatError
from fuki_build.formats.tcg import event_data, event_log
from fuki_build.formats.tcg.event_data import MeasuredVariable
from fuki_build.formats.tcg.event_log import LoggedEvent

LOGS = Path(__file__).parents[1] / "data" / "event-logs"
NUMBERS = {name: number for number, name in event_log.TYPES.items()}

GLOBAL = UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c")
SECURITY = UUID("d719b2cb-3d3a-4596-a3bc-dad00e67656f")
"""EFI_GLOBAL_VARIABLE and EFI_IMAGE_SECURITY_DATABASE_GUID (UEFI 2.10, 3.3 and 32.6.1)."""


def words(kind: str, data: bytes) -> str:
    return event_data.describe(LoggedEvent(0, NUMBERS[kind], {}, data))


def variable(name: str, value: bytes, vendor: bytes = bytes(16)) -> bytes:
    """A UEFI_VARIABLE_DATA: VariableName, UnicodeNameLength, VariableDataLength, UnicodeName, VariableData."""
    return vendor + pack("<QQ", len(name), len(value)) + name.encode("utf-16-le") + value


@pytest.mark.parametrize(("name", "vendor"), [("PK", GLOBAL), ("KEK", GLOBAL), ("db", SECURITY), ("dbx", SECURITY)])
def test_a_variable_is_decoded_to_what_the_machine_was_enrolled_with(name, vendor):
    log = event_log.decode((LOGS / "secure-boot-on.log").read_bytes())
    events = [event for event in log.events if event.type_name == "EV_EFI_VARIABLE_DRIVER_CONFIG"]
    measured = {m.name: m for m in (event_data.variable(event.data) for event in events)}
    assert measured[name] == MeasuredVariable(vendor, name, (LOGS / f"{name}.esl").read_bytes())


def test_a_variable_is_encoded_as_the_machine_logged_it():
    log = event_log.decode((LOGS / "secure-boot-on.log").read_bytes())
    events = [event for event in log.events if event.type_name == "EV_EFI_VARIABLE_DRIVER_CONFIG"]
    for event in events:
        assert event_data.encode_variable(event_data.variable(event.data)) == event.data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (bytes(31), "^an EFI variable is cut short"),
        (variable("db", b"12")[:-1], "claims 2 characters and 2 bytes"),
        (pack("<16sQQ", b"", 0, 1), "claims 0 characters and 1 bytes"),
        (pack("<16sQQ", b"", 1 << 63, 1), "claims"),
    ],
)
def test_a_variable_that_claims_more_than_there_is_is_refused(data, message):
    with pytest.raises(FormatError, match=message):
        event_data.variable(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (bytes(7), "^a tagged event is cut short"),
        (pack("<II", 1, 5) + b"1234", "claims 5 bytes"),
        (pack("<II", 1, 12) + b"1234", "claims 12 bytes"),
    ],
)
def test_a_tagged_event_that_claims_more_than_there_is_is_refused(data, message):
    with pytest.raises(FormatError, match=message):
        event_data.tagged(data)


@pytest.mark.parametrize("size", [1, 32])
def test_a_device_path_that_claims_more_than_there_is_is_refused(size):
    with pytest.raises(FormatError, match=f"device path of {size} bytes"):
        event_data.image_path(pack("<QQQQ", 0, 0, 0, size))


def test_a_tagged_event_ends_where_it_says():
    assert event_data.tagged(pack("<II", 0x8F3B22EC, 4) + b"1234rest") == (0x8F3B22EC, b"1234")


def gpt(count: int, *names: str) -> bytes:
    """A UEFI_GPT_DATA: UEFIPartitionHeader, NumberOfPartitions, Partitions."""
    entries = (pack("<16s16sQQQ72s", b"", b"", 0, 0, 0, name.encode("utf-16-le")) for name in names)
    return bytes(92) + pack("<Q", count) + b"".join(entries)


def blob2(name: bytes, base: int, size: int) -> bytes:
    """A UEFI_PLATFORM_FIRMWARE_BLOB2: BlobDescriptionSize, BlobDescription, BlobBase, BlobLength."""
    return pack("<B", len(name)) + name + pack("<QQ", base, size)


@pytest.mark.parametrize(
    ("kind", "data", "told"),
    [
        ("EV_EFI_GPT_EVENT", gpt(2, "EFI system", "root"), "2 partitions: EFI system, root"),
        ("EV_EFI_GPT_EVENT2", gpt(0), "0 partitions: "),
        ("EV_EFI_GPT_EVENT", gpt(2, "EFI system")[:-1], "damaged: " + "00" * 48 + "…"),
        ("EV_EFI_GPT_EVENT", gpt(1 << 60, *["p"] * 16), f"{1 << 60} partitions: " + ", ".join(["p"] * 16)),
        (
            "EV_EFI_PLATFORM_FIRMWARE_BLOB2",
            blob2(b"POST CODE", 0x820000, 0xE0000),
            "POST CODE, 917504 bytes at 0x820000",
        ),
        ("EV_EFI_PLATFORM_FIRMWARE_BLOB2", b"\x02AB" + bytes(15), "damaged: 024142" + "00" * 15),
        ("EV_EFI_PLATFORM_FIRMWARE_BLOB2", blob2(b"FV", 0x41, 16), "FV, 16 bytes at 0x41"),
        ("EV_EFI_HANDOFF_TABLES2", b"\x04ACPI" + b"rest", "ACPI"),
        ("EV_NO_ACTION", b"StartupLocality\0\3", "StartupLocality 3"),
        ("EV_NO_ACTION", b"StartupLocality\0\3\4", "StartupLocality 3"),
        ("EV_NO_ACTION", b"StartupLocality\0", "StartupLocality ?"),
        ("EV_NO_ACTION", b"sixteen letters.more", "sixteen letters."),
        ("EV_NO_ACTION", b"\xff", "\\xff"),
        ("EV_SEPARATOR", bytes(4), "00000000"),
        ("EV_SEPARATOR", b"\xff" * 4, "ffffffff"),
        ("EV_SEPARATOR", b"\1\0\0\0", "error"),
        ("EV_SEPARATOR", b"\x02\0", "\x02"),
        ("EV_CPU_MICROCODE", b"\1" * 48, "01" * 48),
        ("EV_CPU_MICROCODE", b"\1" * 49, "01" * 48 + "…"),
        ("EV_IPL", ("a" * 32).encode("utf-16-le") + b"\x00\xd8", "a" * 32 + "\ufffd"),
        ("EV_IPL", b"a\0b\1", "a\0b\1"),
        ("EV_EFI_VARIABLE_BOOT", bytes(16) + pack("<QQ", 1, 1) + b"\x00\xd8\x05", "\ufffd = 05"),
        ("EV_EFI_GPT_EVENT", gpt(1, "")[:-72] + b"\x00\xd8" + bytes(70), "1 partitions: \ufffd"),
        ("EV_EFI_HANDOFF_TABLES2", b"", "damaged: "),
        ("EV_S_CRTM_VERSION", SECURITY.bytes_le, str(SECURITY)),
        ("EV_S_CRTM_VERSION", "1.2".encode("utf-16-le") + b"\0\0", "1.2"),
        ("EV_POST_CODE", b"sixteen letters.", "sixteen letters."),
        ("EV_POST_CODE", b"\xff\xfe", "\\xff\\xfe"),
        ("EV_NONHOST_INFO", b"\0\1\2", "000102"),
        ("EV_NONHOST_INFO", b"text\0" + bytes(8), "text"),
        ("EV_NONHOST_INFO", b"\xc3\xa4\0\1", "c3a40001"),
        ("EV_EFI_VARIABLE_BOOT", variable("Timeout", b"\5"), "Timeout = 05"),
        ("EV_EFI_VARIABLE_BOOT", variable("Boot0000", bytes(8)), "Boot0000 = " + "00" * 8),
        ("EV_EFI_VARIABLE_BOOT", variable("Boot0000", bytes(9)), "Boot0000, 9 bytes"),
        ("EV_EVENT_TAG", pack("<II", 0x12345678, 4) + b"text", "tag 0x12345678: text"),
        ("EV_EFI_PLATFORM_FIRMWARE_BLOB", bytes(15), "damaged: " + "00" * 15),
    ],
)
def test_what_the_specification_lays_out_is_told_in_words(kind, data, told):
    assert words(kind, data) == told
