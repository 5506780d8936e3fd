from struct import Struct

import pytest

from fuki_build.errors import FormatError
from fuki_build.formats.reader import PIECE, Reader, pieces, unpack


def test_bytes_inside_are_read():
    assert Reader.of(b"abcdef").read(2, 3, "the word") == b"cde"


@pytest.mark.parametrize(("offset", "length", "data"), [(0, 6, b"abcdef"), (5, 1, b"f"), (0, 0, b""), (6, 0, b"")])
def test_bytes_up_to_the_end_are_read(offset: int, length: int, data: bytes):
    assert Reader.of(b"abcdef").read(offset, length, "the word") == data


@pytest.mark.parametrize("size", [0, 1, PIECE, PIECE + 1, 2 * PIECE])
def test_pieces_are_all_of_it_and_none_is_too_large(size: int):
    lengths = [len(piece) for piece in pieces(Reader(size, lambda at, length: bytes(min(length, size - at))))]
    assert sum(lengths) == size
    assert lengths == sorted(lengths, reverse=True)
    assert all(0 < length <= PIECE for length in lengths)


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
    assert window.read_at(3, 1) == window.read_at(5, 1) == b""


def test_a_window_in_a_window_counts_from_its_own_start():
    assert Reader.of(b"abcdef").window(1, 5).window(2, 2).read(0, 2, "all") == b"de"


def test_a_struct_is_unpacked_at_an_offset():
    assert unpack(Struct("<H"), b"\0\1\2", 1, "the number") == (0x0201,)
    assert unpack(Struct("<H"), b"\0\1\2", 0, "the number") == (0x0100,)


@pytest.mark.parametrize("offset", [-1, 2, 3, 1 << 64])
def test_a_struct_beyond_the_data_is_refused_by_name(offset: int):
    with pytest.raises(FormatError, match="the number is cut short"):
        unpack(Struct("<H"), b"\0\1\2", offset, "the number")
