from contextlib import suppress
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuki_build.errors import FormatError
from fuki_build.formats.confidential import igvm
from fuki_build.formats.reader import Reader
from tests.support import igvm as written

HEADERS = [
    written.platform(1, written.SEV_SNP),
    written.platform(2, written.TDX),
    written.policy(1),
    written.area(0x2000, 7),
    written.parameter(0x30C, 7),
    written.page(0x100000, 0, mask=3),
    written.page(0x200000, 0, mask=2, flags=written.UNMEASURED),
    written.insert(0x300000, 7, mask=3),
    written.context(0xFFFFFFFFF000, 0, mask=1),
    written.snp_id_block(b"\x11" * 48),
    (0x80000999, b"later"),
]


def decode(data: bytes) -> igvm.Igvm:
    found = igvm.decode(Reader.of(data))
    assert found is not None
    return found


@pytest.mark.parametrize("version", [1, 2])
def test_headers_are_read_in_their_order(version: int):
    kinds = [type(directive).__name__ for directive in decode(written.build(HEADERS, version=version)).directives]
    assert kinds == [
        "SupportedPlatform", "SupportedPlatform", "GuestPolicy", "ParameterArea", "Parameter", "PageData", "PageData",
        "ParameterInsert", "VpContext", "SnpIdBlock", "Unknown",
    ]  # fmt: skip


def test_a_platform_sees_its_own_headers_and_those_without_a_mask():
    file = decode(written.build(HEADERS))
    gpas = [d.gpa for d in file.of(1) if isinstance(d, igvm.PageData)]
    assert gpas == [0x100000]
    assert [d.gpa for d in file.of(2) if isinstance(d, igvm.PageData)] == [0x100000, 0x200000]
    assert any(isinstance(d, igvm.ParameterArea) for d in file.of(2))


def test_a_page_is_the_file_s_bytes_and_empty_where_there_are_none():
    headers = [written.page(0, 0), written.page(0x1000, 1)]
    at = written.data_offset(headers)
    headers[1] = written.page(0x1000, at)
    file = decode(written.build(headers, b"\xaa" * 4096))
    empty, full = (d for d in file.directives if isinstance(d, igvm.PageData))
    assert file.page(empty) == b""
    assert file.page(full) == b"\xaa" * 4096


def test_a_page_outside_the_file_is_refused():
    file = decode(written.build([written.page(0, 0x10000)], bytes(4096)))
    (directive,) = file.directives
    with pytest.raises(FormatError, match="outside"):
        file.page(directive)


def test_flags_say_how_a_page_is_measured():
    headers = [written.page(0, 0, flags=flags) for flags in (written.LARGE, written.UNMEASURED, written.SHARED)]
    large, unmeasured, shared = decode(written.build(headers)).directives
    assert (large.size, unmeasured.unmeasured, shared.shared) == (0x200000, True, True)


def test_an_unknown_header_says_whether_it_may_be_skipped():
    one, other = decode(written.build([(0x80000999, b""), (0x999, b"")])).directives
    assert (one.optional, other.optional) == (True, False)


@pytest.mark.parametrize("data", [b"", b"IGV", b"MZ" + bytes(100), bytes(64)])
def test_other_files_are_none(data: bytes):
    assert igvm.decode(Reader.of(data)) is None


LIES = {
    "a wrong checksum": written.build(HEADERS, checksum=1),
    "a later version": pack("<4sIIIII", b"IGVM", 3, 24, 0, 24, 0),
    "headers beyond the file": pack("<4sIIIII", b"IGVM", 1, 24, 100, 50, 0),
    "headers that start in the fixed header": pack("<4sIIIII", b"IGVM", 1, 16, 8, 64, 0) + bytes(40),
    "headers that are not aligned": pack("<4sIIIII", b"IGVM", 1, 28, 4, 64, 0) + bytes(40),
    "a file that is cut short": written.build(HEADERS, bytes(4096))[:-1],
    "gigabytes of headers": pack("<4sIIIII", b"IGVM", 1, 24, 0xFFFFFF00, 0xFFFFFFFF, 0),
    "pages of another size": pack("<4sIIIIIII", b"IGVM", 2, 32, 0, 32, 0, 0, 65536),
    "a header that is longer than the headers": written.build([(0x302, b"")])[:-4] + pack("<I", 0xFFFF),
    "a page header that is too short": written.build([(0x302, bytes(8))]),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_file_that_lies_is_refused(lie: str):
    with pytest.raises(FormatError):
        igvm.decode(Reader.of(LIES[lie]))


def test_more_headers_than_a_guest_needs_are_refused():
    with pytest.raises(FormatError, match="headers"):
        igvm.decode(Reader.of(written.build([(0x80000999, b"")] * (igvm.MAX_HEADERS + 1))))


@given(st.binary(max_size=400), st.integers(0, 24))
def test_whatever_stands_in_the_headers_is_read_or_refused(noise: bytes, at: int):
    data = bytearray(written.build(HEADERS))
    data[at : at + len(noise)] = noise
    with suppress(FormatError):
        found = igvm.decode(Reader.of(bytes(data)))
        assert found is None or len(found.directives) <= igvm.MAX_HEADERS
