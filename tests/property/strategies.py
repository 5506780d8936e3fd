"""Values and damage that several properties need."""

from functools import cache
from itertools import pairwise
from pathlib import Path

import parts
from hypothesis import strategies as st

REAL = {
    "stub-x64": (0, 4096),
    "stub-257-x64": (0, 2048),
    "addon-stub-aa64": (0, 6144),
    "kernel-x64": (0, 8192),
    "kernel-aa64": (0, 1024),
    "aavmf": (0, 8192),
    "ovmf-vars": (0, 512),
    "ovmf-vars-ms": (0, 40960),
    "ovmf-generic": (-4096, None),
    "ovmf-inteltdx": (-4096, None),
    "ovmf-2025": (-4096, None),
}
"""The part of each real file whose bytes its decoder looks at."""


@cache
def real(name: str) -> bytes:
    start, end = REAL[name]
    return Path(parts.get(name)).read_bytes()[start:end]


@st.composite
def mutated(draw: st.DrawFn, data: bytes) -> bytes:
    """`data` with some bytes overwritten, and perhaps cut at either end."""
    changed = bytearray(data)
    edges = st.sampled_from([b"\0", b"\xff", b"\x7f\xff", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f"])
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        new = draw(st.one_of(edges, st.binary(min_size=1, max_size=8)))
        changed[at : at + len(new)] = new[: max(0, len(data) - at)]
    start = draw(st.one_of(st.just(0), st.integers(0, len(changed))))
    end = draw(st.one_of(st.just(len(changed)), st.integers(0, len(changed))))
    return bytes(changed[min(start, end) : max(start, end)])


def mutations(*names: str) -> st.SearchStrategy[bytes]:
    return st.sampled_from(names).flatmap(lambda name: mutated(real(name)))


def cuts(data: bytes, places: list[int]) -> list[bytes]:
    """`data` in pieces, cut at `places` taken modulo its size."""
    at = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in pairwise(at)]
