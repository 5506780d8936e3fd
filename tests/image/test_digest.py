"""Many digests of one stream, each over its own ranges."""

import hashlib
import os
import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuki_build.image.digest import Request, StreamHasher

RANGES = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 100)), max_size=4)


def ascending(pairs: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Gaps and lengths as half-open ranges."""
    ranges, at = [], 0
    for gap, length in pairs:
        ranges.append((at + gap, at + gap + length))
        at += gap + length
    return tuple(ranges)


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


def test_bytes_that_several_requests_begin_with_are_hashed_once():
    whole, start, padded = Request(((0, 6),)), Request(((0, 2),)), Request(((0, 6),), suffix=b"!")
    hasher = StreamHasher([start, padded, whole])
    assert [request for share in hasher.shares for request in share] in ([whole], [padded])
    with hasher:
        hasher.feed(0, memoryview(b"a"))
        hasher.feed(1, memoryview(b"bcdef"))
    digests = {request: state.hexdigest() for request, state in hasher.results.items()}
    expected = {whole: b"abcdef", start: b"ab", padded: b"abcdef!"}
    assert digests == {request: hashlib.sha256(data).hexdigest() for request, data in expected.items()}


def test_a_hash_that_is_still_growing_can_be_seen_for_all_that_share_it():
    whole, start = Request(((0, 6),)), Request(((0, 3),))
    with StreamHasher([whole, start]) as hasher:
        hasher.feed(0, memoryview(b"abcd"))
        seen = {request: state.hexdigest() for request, state in hasher.seen().items()}
        hasher.feed(4, memoryview(b"ef"))
    assert seen == {whole: hashlib.sha256(b"abcd").hexdigest(), start: hashlib.sha256(b"abc").hexdigest()}


def test_slow_algorithms_are_spread_over_the_threads(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    ranges = ((0, 1_000_000),), ((0, 4), (8, 1_000_000))
    requests = [Request(each, algorithm) for algorithm in ("sha256", "sha512") for each in ranges]
    shares = StreamHasher(requests).shares
    assert [sorted(request.algorithm for request in share) for share in shares] == [["sha256", "sha512"]] * 2


def test_the_threads_share_the_work_the_same_way_each_time():
    script = (
        "from fuki_build.image.digest import Request, StreamHasher\n"
        "requests = [Request(((n, 1000),), name) for name in ('sha256', 'sha384', 'sha1') for n in range(8)]\n"
        "print([[(r.algorithm, r.ranges) for r in share] for share in StreamHasher(requests).shares])"
    )
    shares = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in (1, 2, 3)
    }
    assert len(shares) == 1
