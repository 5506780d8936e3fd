"""Many digests of one stream, each over its own ranges."""

import hashlib
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuki_build.image.digest import Request, StreamHasher

RANGES = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 100)), max_size=4)


def ascending(pairs: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Gaps and lengths as half-open ranges."""
    found, at = [], 0
    for gap, length in pairs:
        found.append((at + gap, at + gap + length))
        at += gap + length
    return tuple(found)


@given(data=st.binary(max_size=1000), wanted=st.lists(RANGES, max_size=5), cut=st.integers(1, 200))
def test_every_digest_is_that_of_its_ranges_however_the_stream_is_cut(data, wanted, cut):
    requests = [
        Request(tuple((s, min(e, len(data))) for s, e in ascending(pairs) if s < len(data))) for pairs in wanted
    ]
    with StreamHasher(requests) as digests:
        for at in range(0, len(data), cut):
            digests.feed(at, memoryview(data)[at : at + cut])
    for request in requests:
        covered = b"".join(data[start:end] for start, end in request.ranges)
        assert digests.results[request].hexdigest() == hashlib.sha256(covered).hexdigest()


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha384", "sha512"])
def test_every_bank_can_be_asked_for(algorithm):
    request = Request(((1, 3),), algorithm, b"suffix")
    with StreamHasher([request]) as digests:
        digests.feed(0, memoryview(b"abcd"))
    assert digests.results[request].hexdigest() == hashlib.new(algorithm, b"bcsuffix").hexdigest()


def test_an_error_while_feeding_gets_out_and_leaves_no_thread_behind():
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError), StreamHasher([Request(((0, 10),))]) as digests:
        digests.feed(1 // 0, memoryview(b"abc"))
    assert threading.active_count() == before
