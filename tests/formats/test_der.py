import contextlib

import pytest
from cryptography.hazmat import asn1
from hypothesis import given
from hypothesis import strategies as st

from fuki_build.errors import FormatError
from fuki_build.formats.asn1 import der


@given(st.binary(max_size=70_000))
def test_wrapped_content_is_what_cryptography_encodes(content):
    wrapped = der.wrap(0x04, content)
    assert wrapped == asn1.encode_der(content)
    assert der.value(wrapped) == content
    assert der.total_size(wrapped + b"more") == len(wrapped)


@given(st.lists(st.binary(max_size=300), max_size=8))
def test_values_behind_each_other_are_taken_apart(contents):
    values = [der.wrap(0x04, content) for content in contents]
    assert der.items(b"".join(values)) == values


@given(st.binary(max_size=40))
def test_any_bytes_are_values_or_refused(data):
    with contextlib.suppress(FormatError):
        assert b"".join(der.items(data)) == data


@pytest.mark.parametrize("data", [b"", b"\x04", b"\x04\x80", b"\x04\x85\0\0\0\0\1x", b"\x04\x81", b"\x04\x05abc"])
def test_what_is_cut_short_or_without_a_length_is_refused(data):
    with pytest.raises(FormatError):
        der.total_size(data)


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (0, "0400"),
        (127, "047f"),
        (128, "048180"),
        (255, "0481ff"),
        (256, "04820100"),
        (65535, "0482ffff"),
        (65536, "0483010000"),
    ],
)
def test_a_length_has_as_few_bytes_as_x690_asks_for(size: int, head: str):
    """X.690, 8.1.3 and 10.1."""
    whole = bytes.fromhex(head) + bytes(size)
    assert der.wrap(0x04, bytes(size)) == whole
    assert der.value(whole) == bytes(size)
    assert der.items(whole + whole) == [whole, whole]


@pytest.mark.parametrize("head", ["", "04", "0481", "048201", "0484010000", "0480", "04850000000001"])
def test_a_length_that_is_cut_short_or_absurd_is_refused(head: str):
    with pytest.raises(FormatError, match="a DER value"):
        der.value(bytes.fromhex(head))
