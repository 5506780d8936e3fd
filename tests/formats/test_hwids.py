from struct import pack
from uuid import UUID

import pytest

from fuki_build.errors import FormatError
from fuki_build.formats.uki import hwids
from fuki_build.formats.uki.hwids import Device, DeviceType, Record

EC2 = UUID("c7352a90-6932-5bb7-b916-d272f6e71955")
QEMU = UUID("817fca52-ae83-52f5-8642-9497f79d49d0")
FIRMWARE, DEVICETREE = 0x2000001C, 0x1000001C
# The two CHIDs as EFI GUIDs: the first three fields little-endian.
EC2_GUID = bytes.fromhex("902a35c7 3269 b75b b916d272f6e71955")
QEMU_GUID = bytes.fromhex("52ca7f81 83ae f552 86429497f79d49d0")


def table(*rows: tuple[int, bytes, int, int], strings: bytes = b"") -> bytes:
    return b"".join(pack("<I16sII", *row) for row in rows) + bytes(28) + strings


def test_a_firmware_record_has_the_bytes_that_the_stub_reads():
    encoded = hwids.encode([Device(DeviceType.UEFI_FW, "EC2", "ovmf", frozenset({EC2}))])
    assert encoded == table((FIRMWARE, EC2_GUID, 56, 60), strings=b"EC2\0ovmf\0")


def test_a_devicetree_record_has_the_bytes_that_the_stub_reads():
    encoded = hwids.encode([Device(DeviceType.DEVICETREE, "Board", "acme,board", frozenset({QEMU}))])
    assert encoded == table((DEVICETREE, QEMU_GUID, 56, 62), strings=b"Board\0acme,board\0")


def test_an_empty_table_is_its_end_mark():
    assert hwids.encode([]) == bytes(28)
    assert hwids.decode(bytes(28)) == ()


def test_records_keep_their_order():
    data = table((FIRMWARE, QEMU_GUID, 84, 86), (DEVICETREE, EC2_GUID, 84, 88), strings=b"n\0f\0c\0")
    assert hwids.decode(data) == (
        Record(DeviceType.UEFI_FW, QEMU, "n", "f"),
        Record(DeviceType.DEVICETREE, EC2, "n", "c"),
    )


def test_offset_zero_is_an_absent_string():
    assert hwids.decode(table((FIRMWARE, EC2_GUID, 0, 56), strings=b"ovmf\0")) == (
        Record(DeviceType.UEFI_FW, EC2, "", "ovmf"),
    )


def test_devices_that_differ_only_in_ids_are_merged_with_sorted_ids():
    devices = [Device(DeviceType.UEFI_FW, "n", "f", frozenset({chid})) for chid in (EC2, QEMU)]
    assert [record.chid for record in hwids.decode(hwids.encode(devices))] == [QEMU, EC2]


def test_records_of_one_device_are_grouped():
    records = [Record(DeviceType.UEFI_FW, chid, "n", "f") for chid in (EC2, QEMU)]
    assert hwids.group(records) == (Device(DeviceType.UEFI_FW, "n", "f", frozenset({EC2, QEMU})),)


def test_types_have_systemds_names():
    assert {kind: kind.json_name for kind in DeviceType} == {1: "devicetree", 2: "uefi-fw"}


REFUSED = {
    "no end mark": table((FIRMWARE, EC2_GUID, 0, 0))[:28],
    "an end mark cut short": bytes(27),
    "nothing": b"",
    "an unknown type": table((0x3000001C, EC2_GUID, 0, 0)),
    "type 0 with a size": table((0x0000001C, EC2_GUID, 0, 0)),
    "a record of another size": table((0x20000020, EC2_GUID, 0, 0)),
    "one unknown record among good ones": table((FIRMWARE, EC2_GUID, 0, 0), (0xF000001C, EC2_GUID, 0, 0)),
    "a name outside": table((FIRMWARE, EC2_GUID, 57, 0)),
    "a key far outside": table((FIRMWARE, EC2_GUID, 0, 0xFFFFFFFF)),
    "a string without a NUL": table((FIRMWARE, EC2_GUID, 0, 56), strings=b"ovmf"),
    "a string that is not UTF-8": table((FIRMWARE, EC2_GUID, 0, 56), strings=b"\xff\xfe\0"),
    "an endless string": table((FIRMWARE, EC2_GUID, 0, 56), strings=b"x" * 100_000 + b"\0"),
    "a table of megabytes": bytes(28) + bytes(1 << 20),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_table_that_the_stub_or_sense_refuses_is_refused_as_a_whole(case: str):
    with pytest.raises(FormatError):
        hwids.decode(REFUSED[case])


def test_the_largest_table_and_the_longest_string_are_read():
    row = (FIRMWARE, EC2_GUID, 0, 56)
    (record,) = hwids.decode(table(row, strings=b"x" * 512 + b"\0").ljust(1 << 20, b"\0"))
    assert record.key == "x" * 512
    with pytest.raises(FormatError, match="no string of sensible length"):
        hwids.decode(table(row, strings=b"x" * 513 + b"\0"))


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("no end mark", "hardware id record, or the end mark"),
        ("one unknown record among good ones", "hardware id record 1 has the unknown descriptor 0xf000001c"),
        ("a name outside", "hardware id record 0 points at 0x39, where no string"),
        ("a string that is not UTF-8", "hardware id record 0 points at a string that is not UTF-8"),
    ],
)
def test_what_is_wrong_with_a_table_is_told_with_its_record(case: str, message: str):
    with pytest.raises(FormatError, match=message):
        hwids.decode(REFUSED[case])


def test_a_name_with_a_nul_is_not_written():
    with pytest.raises(FormatError, match="NUL"):
        hwids.encode([Device(DeviceType.UEFI_FW, "a\0b", "f", frozenset({EC2}))])


@pytest.mark.parametrize(("kind", "word"), [(DeviceType.DEVICETREE, 0x1000001C), (DeviceType.UEFI_FW, 0x2000001C)])
def test_a_record_begins_with_its_kind_and_size(kind: DeviceType, word: int):
    """systemd's chid.h: the descriptor is a type in four bits, and the size of the record."""
    assert hwids.first_bytes(kind) == word.to_bytes(4, "little")
