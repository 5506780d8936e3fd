"""Partition tables that sfdisk wrote; tests/boot holds what is measured of one against edk2."""

import subprocess
import zlib
from contextlib import suppress
from pathlib import Path
from struct import pack
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuki_build.errors import FormatError
from fuki_build.formats.reader import Reader
from fuki_build.formats.uefi import gpt

ESP = UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
ROOT = UUID("4f68bce3-e8cd-4db1-96e7-fbcaf984b709")


def disk(path: Path) -> bytearray:
    """8 MiB with two partitions, the second entry of three being free."""
    with path.open("wb") as file:
        file.truncate(8 * 1024 * 1024)
    table = f"label: gpt\n1: start=1MiB, size=1MiB, type={ESP}\n3: start=3MiB, size=2MiB, type={ROOT}\n"
    subprocess.run(["sfdisk", "--quiet", path], input=table, text=True, check=True)
    return bytearray(path.read_bytes())


def measured(data: bytes | bytearray) -> bytes:
    return gpt.measured(Reader.of(bytes(data)))


def test_the_header_and_the_used_entries_are_measured(tmp_path):
    data = disk(tmp_path / "disk")
    measured_data = measured(data)
    assert measured_data[:92] == data[512 : 512 + 92]
    assert measured_data[92:100] == (2).to_bytes(8, "little")
    assert len(measured_data) == 100 + 2 * 128
    assert [UUID(bytes_le=bytes(measured_data[at : at + 16])) for at in (100, 228)] == [ESP, ROOT]


def test_a_disk_with_large_sectors_has_its_table_further_behind(tmp_path):
    data = disk(tmp_path / "disk")
    large = bytes(4096) + data[512:1024].ljust(4096, b"\0") + data[1024 : 1024 + 128 * 128]
    assert measured(large) == measured(data)


def test_a_disk_without_a_table_has_nothing_to_measure():
    assert measured(bytes(1024 * 1024)) == b""
    assert measured(b"") == b""


@pytest.mark.parametrize("at", [512 + 8, 512 + 16, 512 + 40, 512 + 72, 512 + 88, 1024 + 20])
def test_a_damaged_table_is_refused(tmp_path, at):
    data = disk(tmp_path / "disk")
    data[at] ^= 0xFF
    with pytest.raises(FormatError):
        measured(data)


def test_a_table_that_is_cut_short_is_refused(tmp_path):
    data = disk(tmp_path / "disk")
    with pytest.raises(FormatError):
        measured(data[:2048])


def table(
    array: bytes, *, size: int = 92, entry_size: int = 128, count: int | None = None, start: int = 2, more: bytes = b""
) -> bytes:
    """A disk as UEFI's table 5.5 has it, with checksums that hold; `more` stands behind the header's fields."""
    entries = len(array) // entry_size if count is None else count
    fields = (b"EFI PART", 0x10000, size, 0, 0, 1, 99, 34, 90, bytes(16), start, entries, entry_size, zlib.crc32(array))
    header = bytearray((pack("<8sIIII4Q16sQIII", *fields) + more).ljust(512, b"\0"))
    header[16:20] = pack("<I", zlib.crc32(header[:size]))
    return bytes(512) + bytes(header) + bytes(512 * max(0, start - 2)) + array


USED, FREE = b"\1" * 16, bytes(16)


@pytest.mark.parametrize(
    ("disk", "entries"),
    [
        (table(USED.ljust(128, b"\0")), [USED.ljust(128, b"\0")]),
        (table(FREE.ljust(128, b"\1")), []),
        (table((bytes(15) + b"\1").ljust(128, b"\0")), [(bytes(15) + b"\1").ljust(128, b"\0")]),
        (table(USED.ljust(256, b"\2"), entry_size=256), [USED.ljust(256, b"\2")]),
        (table(USED.ljust(128, b"\0"), start=5), [USED.ljust(128, b"\0")]),
        (table(USED.ljust(128, b"\0"), size=512, more=b"more"), [USED.ljust(128, b"\0")]),
        (table(FREE.ljust(128, b"\0") * 8192), []),
        (table(b""), []),
    ],
)
def test_header_and_used_entries_are_measured_whatever_their_size(disk: bytes, entries: list[bytes]):
    """The specification's UEFI_GPT_DATA has the header's fields and nothing that may stand behind them."""
    assert measured(disk) == disk[512 : 512 + 92] + pack("<Q", len(entries)) + b"".join(entries)


@pytest.mark.parametrize(
    ("disk", "message"),
    [
        (table(b"", size=91), "says that it has 91 bytes"),
        (table(b"", size=513), "says that it has 513 bytes"),
        (table(bytes(127), entry_size=127), "1 entries of 127 bytes"),
        (table(bytes(128), count=8193), "8193 entries of 128 bytes"),
        (table(bytes(128))[:-1], "entries of the partition table lies outside"),
        (table(bytes(128))[:-1] + b"\1", "entries of the partition table are damaged"),
        (table(b"", size=93)[:604] + b"\1" + bytes(419), "header of the partition table is damaged"),
    ],
)
def test_a_table_that_does_not_hold_is_refused_with_the_reason(disk: bytes, message: str):
    with pytest.raises(FormatError, match=message):
        measured(disk)


def test_a_disk_may_end_with_its_header():
    disk = table(b"", start=1)
    assert measured(disk[: 512 + 92]) == disk[512 : 512 + 92] + bytes(8)
    assert measured(disk[: 512 + 91]) == b""


@given(st.binary(max_size=600))
def test_any_header_is_measured_or_refused(data):
    with suppress(FormatError):
        assert not measured(bytes(512) + b"EFI PART" + data)
