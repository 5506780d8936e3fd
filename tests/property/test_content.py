"""Digests of one stream equal hashlib's of the parts; blobs behave as the bytes that they stand for."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuki_build.errors import FormatError
from fuki_build.image.blob import Blob
from fuki_build.image.digest import Request, StreamHasher

from .strategies import cuts

STREAM = st.binary(max_size=2000)


@st.composite
def requests(draw: st.DrawFn, size: int) -> Request:
    """Ascending ranges, some of them empty or touching."""
    edges = sorted(draw(st.lists(st.integers(0, size), max_size=12)))
    ranges = tuple(zip(edges[::2], edges[1::2], strict=False))
    return Request(ranges, draw(st.sampled_from(["sha1", "sha256", "sha384", "sha512"])), draw(st.binary(max_size=8)))


@given(STREAM, st.data(), st.lists(st.integers(0), max_size=30))
def test_digests_are_those_of_the_ranges(stream: bytes, data: st.DataObject, places: list[int]):
    requested = data.draw(st.lists(requests(len(stream)), max_size=8))
    with StreamHasher(requested) as digests:
        at = 0
        for piece in cuts(stream, places):
            digests.feed(at, memoryview(piece))
            at += len(piece)
    for request in requested:
        content = b"".join(stream[start:end] for start, end in request.ranges) + request.suffix
        assert digests.results[request].hexdigest() == hashlib.new(request.algorithm, content).hexdigest()


@st.composite
def blobs(draw: st.DrawFn, file: Path) -> tuple[Blob, bytes]:
    """A blob of literal bytes and slices of a file, and the bytes that it stands for."""
    whole, content = Blob.of_file(file), file.read_bytes()
    blob, expected = Blob(), b""
    for _ in range(draw(st.integers(0, 6))):
        if draw(st.booleans()):
            data = draw(st.binary(max_size=40))
            blob, expected = blob + Blob.of_bytes(data), expected + data
        else:
            start = draw(st.integers(0, len(content)))
            size = draw(st.integers(0, len(content) - start))
            blob, expected = blob + whole.slice(start, size), expected + content[start : start + size]
    return blob, expected


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("content") / "file"
    path.write_bytes(bytes(range(256)))
    return path


@given(st.data())
def test_a_slice_of_a_blob_is_the_slice_of_its_bytes(file: Path, data: st.DataObject):
    blob, expected = data.draw(blobs(file))
    start = data.draw(st.integers(0, len(expected)))
    size = data.draw(st.integers(0, len(expected) - start))
    part = blob.slice(start, size)
    assert part.size == size
    assert part.read_at(0, size) == expected[start : start + size]
    assert part.read_small(size, "the content") == expected[start : start + size]


@given(st.data())
def test_a_slice_of_a_slice_is_a_slice(file: Path, data: st.DataObject):
    blob, expected = data.draw(blobs(file))
    outer = data.draw(st.integers(0, len(expected)))
    inner = data.draw(st.integers(0, len(expected) - outer))
    part = blob.slice(outer, len(expected) - outer).slice(inner, len(expected) - outer - inner)
    assert part.read_at(0, len(expected)) == expected[outer + inner :]


@given(st.data(), st.integers(0, 600), st.integers(0, 600))
def test_reading_a_blob_is_reading_its_bytes(file: Path, data: st.DataObject, offset: int, length: int):
    blob, expected = data.draw(blobs(file))
    assert blob.size == len(expected)
    assert blob.read_at(offset, length) == expected[offset : offset + length]
    window = blob.reader
    assert window.read_at(offset, length) == expected[offset : offset + length]


@settings(max_examples=50)
@given(st.data(), st.integers(-3, 400), st.integers(-3, 400))
def test_a_slice_beyond_the_end_is_refused(file: Path, data: st.DataObject, offset: int, size: int):
    blob, expected = data.draw(blobs(file))
    if offset >= 0 and size >= 0 and offset + size <= len(expected):
        size = len(expected) + 1
    with pytest.raises(FormatError, match="outside"):
        blob.slice(offset, size)


@given(st.data())
def test_the_parts_of_a_blob_stand_one_behind_the_other(file: Path, data: st.DataObject):
    blob, expected = data.draw(blobs(file))
    at = 0
    for offset, part in blob.placed():
        assert offset == at
        assert part.read_at(0, part.size) == expected[at : at + part.size]
        at += part.size
    assert at == len(expected)
