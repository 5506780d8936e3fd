"""Partition tables that sfdisk wrote; tests/boot holds what is measured of one against edk2."""

import subprocess
from contextlib import suppress
from pathlib import Path
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


@given(st.binary(max_size=600))
def test_any_header_is_measured_or_refused(data):
    with suppress(FormatError):
        assert not measured(bytes(512) + b"EFI PART" + data)
