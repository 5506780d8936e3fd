"""The checksum, held against pefile's."""

import pefile
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuki_build.formats.pe import pe
from fuki_build.formats.pe.pe_checksum import Checksum


def checksum(data: bytes, *pieces: int) -> int:
    """Ours, of a file fed in pieces of these sizes, the field counting as zeros."""
    sums = Checksum()
    at = 0
    for size in (*pieces, len(data)):
        sums.feed(data[at : at + size])
        at += size
    place = pe.decode(data[: pe.HEAD_SIZE], len(data)).checksum_offset
    sums.replace(place, data[place : place + 4], bytes(4))
    return sums.value


@pytest.mark.parametrize("name", ["stub-x64", "addon-stub-x64", "kernel-x64", "shim"])
def test_the_checksum_of_real_images_is_pefiles(part, name):
    data = part(name).read_bytes()
    with pefile.PE(data=data, fast_load=True) as image:
        assert checksum(data) == image.generate_checksum()


@pytest.mark.parametrize("name", ["kernel-x64", "shim"])
def test_the_checksum_of_signed_images_is_the_one_in_their_headers(part, name):
    data = part(name).read_bytes()
    assert checksum(data) == pe.decode(data[: pe.HEAD_SIZE], len(data)).optional.checksum


@pytest.mark.parametrize("tail", [b"\x01", b"\xff\xff", b"\x01\x02\x03", bytes(8) + b"\x80"])
def test_the_checksum_of_images_of_any_length_is_pefiles(part, tail):
    data = part("addon-stub-x64").read_bytes() + tail
    with pefile.PE(data=data, fast_load=True) as image:
        assert checksum(data) == image.generate_checksum()


@given(tail=st.binary(max_size=9), cut=st.integers(1, 5000))
def test_pieces_may_be_cut_anywhere(part, tail, cut):
    data = part("addon-stub-x64").read_bytes() + tail
    assert checksum(data, cut) == checksum(data)


@given(data=st.binary(min_size=8, max_size=64), new=st.binary(min_size=4, max_size=4), offset=st.integers(0, 4))
def test_what_is_replaced_counts_as_if_it_had_been_fed(data: bytes, new: bytes, offset: int):
    replaced, fed = Checksum(), Checksum()
    replaced.feed(data)
    replaced.replace(offset, data[offset : offset + 4], new)
    fed.feed(data[:offset] + new + data[offset + 4 :])
    assert replaced.value == fed.value
