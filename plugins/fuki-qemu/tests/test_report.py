"""Reports of probes, framed as probe/report.h says."""

import zlib
from contextlib import suppress
from struct import pack

import pytest
from fuki_build.errors import FormatError
from hypothesis import given
from hypothesis import strategies as st

from fuki_qemu import report


def frame(*records: tuple[str, bytes]) -> bytes:
    data = b"FUKIPRB1"
    for name, content in records:
        data += pack("<HI", len(name), len(content)) + name.encode() + content
    data += pack("<H", 0)
    return data + pack("<I", zlib.crc32(data))


WHOLE = frame(
    ("program", b"efi"),
    ("options", "console=ttyS0".encode("utf-16-le") + b"\0\0"),
    ("pcr/sha256/11", bytes(range(32))),
    ("pcr/sha1/4", bytes(20)),
    ("variable/StubInfo", "systemd-stub 262".encode("utf-16-le") + b"\0\0"),
    ("log", b"events"),
)


def test_a_whole_report_is_read_from_between_other_output():
    told = report.decode(b"noise" + WHOLE + b"more noise")
    assert told is not None
    assert (told.program, told.log, told.smbios) == ("efi", b"events", None)
    assert told.command_line == "console=ttyS0"
    assert told.registers == {"sha256": {11: bytes(range(32))}, "sha1": {4: bytes(20)}}
    assert report.variable_text(told.variables["StubInfo"]) == "systemd-stub 262"


def test_a_command_line_from_proc_has_no_line_break():
    told = report.decode(frame(("cmdline", b"root=x quiet\n")))
    assert told is not None
    assert told.command_line == "root=x quiet"


@pytest.mark.parametrize("size", [0, 3, 8, 12, len(WHOLE) - 1])
def test_a_report_that_is_not_complete_is_none(size: int):
    assert report.decode(WHOLE[:size]) is None


def test_a_damaged_report_is_an_error():
    data = bytearray(WHOLE)
    data[WHOLE.index(b"events")] ^= 1
    with pytest.raises(FormatError, match="damaged on its way"):
        report.decode(bytes(data))


def test_a_register_of_a_wrong_size_is_an_error():
    with pytest.raises(FormatError, match="20 bytes for register 11 of sha256"):
        report.decode(frame(("pcr/sha256/11", bytes(20))))


def test_more_records_than_any_report_has_are_an_error():
    with pytest.raises(FormatError, match="beyond belief"):
        report.decode(frame(*[(f"r{number}", b"") for number in range(4096)]))


@given(st.binary(max_size=200), st.integers(0, len(WHOLE)))
def test_whatever_a_guest_says_is_a_report_or_an_error(noise: bytes, at: int):
    for data in (b"FUKIPRB1" + noise, WHOLE[:at] + noise + WHOLE[at:]):
        with suppress(FormatError):
            report.decode(data)
