"""Whatever bytes stand in the cache of digests, a digest is that of the file."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuki_build.formats import digest_entry
from fuki_build.image import digest_cache, file_state
from fuki_build.image.digest_cache import digest_image, keeping_digests
from fuki_build.image.digest_plan import DigestNeeds
from fuki_build.image.inspect import inspect
from tests.support.images import layout_of, write

from .strategies import mutated

STATES = st.binary(min_size=32, max_size=32).map(bytes.hex)
DIGESTS = st.dictionaries(STATES, st.binary(min_size=1, max_size=64), max_size=20)
NEEDS = DigestNeeds(sections=frozenset(("sha256", "sha512")))
STATE = "ab" * 32
ENTRY = digest_entry.encode(STATE, {"01" * 32: b"digest", "02" * 32: bytes(32)})
CONTENTS = {".linux": b"kernel" * 500, ".cmdline": b"quiet", ".initrd": b"initrd" * 900}


@given(STATES, DIGESTS)
def test_an_entry_is_decoded_as_it_was_encoded(state: str, digests: dict[str, bytes]):
    assert digest_entry.decode(state, digest_entry.encode(state, digests)) == digests


@given(STATES, DIGESTS, STATES)
def test_an_entry_of_another_state_is_none(state: str, digests: dict[str, bytes], other: str):
    if other != state:
        assert digest_entry.decode(other, digest_entry.encode(state, digests)) == {}


@given(st.one_of(st.binary(max_size=600), mutated(ENTRY), st.integers(0, len(ENTRY) - 1).map(lambda n: ENTRY[:n])))
def test_a_damaged_entry_is_none(data: bytes):
    if data != ENTRY:
        assert digest_entry.decode(STATE, data) == {}


@given(st.text("0123456789abcdef \n", max_size=200).map(str.encode))
def test_an_entry_whose_sum_is_right_is_still_read_strictly(lines: bytes):
    text = f"fuki-digests-1 {STATE}\n".encode() + lines
    digests = digest_entry.decode(STATE, text + hashlib.sha256(text).hexdigest().encode())
    assert all(len(name) == 64 and 0 < len(digest) <= 64 for name, digest in digests.items())


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An image whose digests are kept."""
    directory = tmp_path_factory.mktemp("image")
    layout = layout_of([(name, content, None) for name, content in CONTENTS.items()])
    real = digest_cache.time.time_ns
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(directory / "cache"))
        patch.setattr(file_state, "file_system", lambda _: "ext4")
        patch.setattr(digest_cache.time, "time_ns", lambda: real() + 3600 * 10**9)
        yield write(directory / "image.efi", layout)


def sections_of(image: Path) -> dict[tuple[str, str], bytes]:
    """Digests by section and algorithm."""
    layout = inspect(image)
    with keeping_digests(is_asked=True):
        assembly = digest_image(layout, NEEDS)
        return {
            (section.name, name): assembly.section_hash(section.index, name).digest()
            for section in layout.plain_sections
            for name in NEEDS.sections
            if section.name in CONTENTS
        }


RIGHT = {
    (name, algorithm): hashlib.new(algorithm, content).digest()
    for name, content in CONTENTS.items()
    for algorithm in NEEDS.sections
}


@st.composite
def spoilt(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """What may become of an entry."""
    cut, at, bit = draw(st.integers(0, 4000)), draw(st.integers(0, 4000)), draw(st.integers(0, 7))
    noise = draw(st.binary(max_size=300))
    return draw(
        st.sampled_from(
            (
                lambda _: noise,
                lambda entry: entry[:cut],
                lambda entry: entry + noise,
                lambda entry: entry[:at] + noise + entry[at + len(noise) :],
                lambda entry: bytes(b ^ (1 << bit) if n == at % len(entry) else b for n, b in enumerate(entry)),
            )
        )
    )


@given(spoil=spoilt())
def test_no_bytes_in_the_cache_change_a_digest(image: Path, spoil: Callable[[bytes], bytes]):
    assert sections_of(image) == RIGHT
    (entry,) = (image.parent / "cache/fuki/digests").iterdir()
    entry.write_bytes(spoil(entry.read_bytes()))
    assert sections_of(image) == RIGHT
