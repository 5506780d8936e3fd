import contextlib
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuki_build.errors import FormatError
from fuki_build.formats.uki import pcrsig
from fuki_build.formats.uki.pcrsig import PolicySignature

hexes = st.binary(min_size=1, max_size=32).map(bytes.hex)
entries = st.builds(
    PolicySignature,
    pcrs=st.lists(st.integers(0, 23), max_size=3).map(tuple),
    pkfp=hexes,
    pol=hexes,
    ref=st.none() | st.text(max_size=8),
    sig=st.none() | st.text(max_size=8),
    tbs=st.none() | hexes,
)
banks = st.sampled_from(["sha1", "sha256", "sha384", "sha512"])


@given(st.lists(st.tuples(banks, entries), max_size=6), st.integers(0, 50))
def test_what_was_encoded_is_decoded_whatever_its_padding(pairs, more):
    policies = pcrsig.group(pairs)
    plain = pcrsig.encode(policies)
    assert pcrsig.encode(policies, len(plain) + more) == plain + b" " * more
    assert pcrsig.decode(pcrsig.encode(policies, len(plain) + more)) == policies
    assert pcrsig.decode(plain + bytes(more)) == policies


@given(st.binary(max_size=80))
def test_any_bytes_are_decoded_or_refused(data):
    with contextlib.suppress(FormatError):
        pcrsig.decode(data)


def test_a_reference_is_signed_as_its_digest():
    entry = PolicySignature(pcrs=(11,), pkfp="00", pol="11" * 32, ref="initrd")
    assert entry.message == bytes.fromhex("11" * 32) + hashlib.sha256(b"initrd").digest()
    assert PolicySignature(pcrs=(11,), pkfp="00", pol="11" * 32).message == bytes.fromhex("11" * 32)


def test_what_does_not_fit_is_refused():
    with pytest.raises(FormatError, match="there is room for 1"):
        pcrsig.encode({}, 1)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{",
        b'{"md5":[]}',
        b'{"sha256":[{}]}',
        b"\xff",
        b"[" * 100_000,
        b'{"sha256":[{"pcrs":[11],"pkfp":"x"}]}',
    ],
)
def test_what_is_none_is_refused(data):
    with pytest.raises(FormatError):
        pcrsig.decode(data)


def test_the_policies_without_a_signature_are_told_with_their_banks():
    signed, unsigned = (
        PolicySignature(pcrs=(11,), pkfp="00", pol=pol, sig=sig) for pol, sig in (("11", "QQ=="), ("22", None))
    )
    policies = {"sha1": (signed,), "sha256": (unsigned, signed, unsigned)}
    assert pcrsig.missing(policies) == [("sha256", unsigned), ("sha256", unsigned)]
