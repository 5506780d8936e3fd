from struct import pack
from uuid import UUID

import pytest

from fuki_build.errors import FormatError
from fuki_build.formats.uki import efifw

CHID = UUID("c7352a90-6932-5bb7-b916-d272f6e71955")


def section(
    magic: int = 0xFEEDDEAD, header_len: int = 16, fwid: bytes = b"ovmf\0", payload: bytes = b"\xaa" * 9
) -> bytes:
    header = pack("<IIII", magic, header_len, len(fwid), len(payload))
    return header.ljust(header_len, b"\0") + fwid + payload


def test_a_header_has_the_bytes_that_the_stub_reads():
    assert efifw.encode_header("ovmf", 9) == bytes.fromhex("addeedfe 10000000 05000000 09000000") + b"ovmf\0"


def test_a_fwid_is_encoded_as_utf8():
    assert efifw.encode_header("åå", 1)[8:] == bytes.fromhex("05000000 01000000") + "åå".encode() + b"\0"


def test_the_largest_sizes_that_fit_are_written():
    header = efifw.encode_header("x" * 4095, 0xFFFFFFFF)
    assert header[:16] == bytes.fromhex("addeedfe 10000000 00100000 ffffffff")


def test_a_section_is_decoded():
    data = section()
    assert efifw.decode(data, len(data)) == efifw.EfiFw("ovmf", 21, 9)


def test_a_longer_header_is_skipped():
    data = section(header_len=24)
    assert efifw.decode(data, len(data)) == efifw.EfiFw("ovmf", 29, 9)


def test_the_chid_of_an_extended_header_is_read():
    data = bytearray(section(header_len=32))
    data[16:32] = bytes.fromhex("902a35c73269b75bb916d272f6e71955")  # CHID as an EFI GUID
    assert efifw.decode(bytes(data), len(data)) == efifw.EfiFw("ovmf", 37, 9, CHID)


def test_padding_behind_the_payload_is_accepted():
    data = section() + bytes(500)
    assert efifw.decode(data, len(data)).payload_size == 9


def test_only_the_start_of_a_section_is_needed():
    data = section(payload=b"\xaa" * 100_000)
    assert efifw.decode(data[:8192], len(data)).payload_size == 100_000


def test_the_13_byte_header_of_systemd_262s_ukify_is_recognised():
    broken = pack("<xIII", 16, 5, 9) + b"ovmf\0" + b"\xaa" * 9
    with pytest.raises(FormatError, match="13 bytes") as error:
        efifw.decode(broken, len(broken))
    assert error.value.hint


REFUSED = {
    "a wrong magic": section(magic=0xFEEDDEAE),
    "a header shorter than its fields": section(header_len=15),
    "a fwid without a NUL": section(fwid=b"ovmf"),
    "a NUL inside the fwid": section(fwid=b"ov\0f\0"),
    "an empty fwid": section(fwid=b"\0"),
    "no fwid": section(fwid=b""),
    "a fwid that is not UTF-8": section(fwid=b"\xff\0"),
    "a fwid of 5000 bytes": section(fwid=b"x" * 4999 + b"\0"),
    "a header of 10000 bytes": section(header_len=10_000),
    "a payload cut short": section()[:-1],
    "a fwid cut short": section()[:18],
    "a header cut short": section()[:15],
    "nothing": b"",
    "a header length that overflows": pack("<IIII", 0xFEEDDEAD, 0xFFFFFFFF, 5, 9) + b"ovmf\0" + bytes(100),
    "a fwid length that overflows": pack("<IIII", 0xFEEDDEAD, 16, 0xFFFFFFFF, 9) + b"ovmf\0" + bytes(100),
    "a payload length that overflows": pack("<IIII", 0xFEEDDEAD, 16, 5, 0xFFFFFFFF) + b"ovmf\0" + bytes(100),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_stub_refuses_is_refused(case: str):
    with pytest.raises(FormatError):
        efifw.decode(REFUSED[case][:8192], len(REFUSED[case]))


@pytest.mark.parametrize("size", [1, 4095])
def test_the_shortest_and_the_longest_fwid_are_read(size: int):
    data = section(fwid=b"x" * size + b"\0")
    assert efifw.decode(data[: 17 + size], len(data)) == efifw.EfiFw("x" * size, 17 + size, 9)


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("a wrong magic", r"^not a firmware section \(magic 0xfeeddeae, expected 0xfeeddead\)$"),
        ("a header shorter than its fields", "^the firmware header claims 15 bytes, at least 16 are needed$"),
        ("a payload cut short", "^the firmware needs 30 bytes, the section has 29$"),
        ("a fwid of 5000 bytes", r"^the fwid is too long or too far away \(5000 bytes at 16\)$"),
        ("an empty fwid", "^the fwid is empty or its first NUL is not its last byte$"),
        ("a fwid that is not UTF-8", "^the fwid is not UTF-8$"),
        ("nothing", "the firmware header"),
    ],
)
def test_what_is_wrong_is_told_in_numbers(case: str, message: str):
    with pytest.raises(FormatError, match=message):
        efifw.decode(REFUSED[case][:8192], len(REFUSED[case]))


@pytest.mark.parametrize("fwid", ["", "a\0b", "x" * 4096])
def test_a_fwid_that_readers_would_refuse_is_not_written(fwid: str):
    with pytest.raises(FormatError, match="a fwid has 1 to 4095 bytes"):
        efifw.encode_header(fwid, 1)


@pytest.mark.parametrize("size", [0, -1, 1 << 32])
def test_a_payload_whose_size_cannot_be_written_is_refused(size: int):
    with pytest.raises(FormatError, match="4 GiB"):
        efifw.encode_header("ovmf", size)
