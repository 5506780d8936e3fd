"""Bytes as the stub takes them for characters; tests/boot/test_odd_strings.py boots the real stub on such strings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuki_build.formats import stub_text


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", ""),
        (b"Acme", "Acme"),
        ("\u00fc\u20ac\uffff".encode(), "\u00fc\u20ac\uffff"),
        (b"Caf\xe9 Box", "Cafox"),
        (b"\xff\xfe\x80\xbf", ""),
        ("a\U0001f600b".encode(), "ab"),
        (b"end\xe3\x81", "end"),
        (b"\xc1\xa1", "a"),
        (b"\xf8\x80\x80\x81\x81", "A"),
        (b"\xfc\x80\x80\x80\x81\x81z", "Az"),
        (b"\xed\xa0\x80s", "s"),
        (b"nul\xc0\x80x", "nul"),
        (b"a\0b", "a"),
        (b"\xf1\0\0\0b", ""),
    ],
)
def test_characters_of(data, text):
    assert stub_text.decode(data) == text


@given(st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"], exclude_characters="\0")))
def test_good_text_of_one_plane_is_kept(text):
    assert stub_text.decode(text.encode()) == text


@given(st.binary())
def test_whatever_the_bytes_are_the_characters_are_utf_16_units(data):
    text = stub_text.decode(data)
    assert len(text) <= len(data)
    assert len(text.encode("utf-16-le")) == 2 * len(text)
