from struct import Struct

import pytest

from fuki_build.errors import FormatError
from fuki_build.formats.reader import Reader, unpack


def test_bytes_inside_are_read():
    assert Reader.of(b"abcdef").read(2, 3, "the word") == b"cde"


@pytest.mark.parametrize(("offset", "length"), [(-1, 2), (0, -1), (5, 2), (7, 0), (1 << 64, 1), (0, 1 << 64)])
def test_bytes_outside_are_refused_by_name(offset: int, length: int):
    with pytest.raises(FormatError, match="the word lies outside"):
        Reader.of(b"abcdef").read(offset, length, "the word")


def test_data_that_end_early_are_refused_by_name():
    with pytest.raises(FormatError, match="the word is cut short"):
        Reader(6, lambda _offset, _length: b"").read(0, 2, "the word")


def test_a_window_shows_its_part_alone():
    window = Reader.of(b"abcdef").window(2, 3)
    assert window.size == 3
    assert window.read(0, 3, "all") == b"cde"
    assert window.read_at(1, 100) == b"de"
    assert window.read_at(5, 1) == b""


def test_a_window_in_a_window_counts_from_its_own_start():
    assert Reader.of(b"abcdef").window(1, 5).window(2, 2).read(0, 2, "all") == b"de"


def test_a_struct_is_unpacked_at_an_offset():
    assert unpack(Struct("<H"), b"\0\1\2", 1, "the number") == (0x0201,)


@pytest.mark.parametrize("offset", [-1, 2, 3, 1 << 64])
def test_a_struct_beyond_the_data_is_refused_by_name(offset: int):
    with pytest.raises(FormatError, match="the number is cut short"):
        unpack(Struct("<H"), b"\0\1\2", offset, "the number")
