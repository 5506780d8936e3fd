"""Digests that are kept for a file: each is that of the bytes that it is asked of."""

import hashlib
from pathlib import Path

import pytest

from fuki_build.formats import digest_entry
from fuki_build.image import digest_cache, file_state
from fuki_build.image.assembly import Assembly
from fuki_build.image.digest_cache import digest_image, keeping_digests
from fuki_build.image.digest_plan import DigestNeeds, measured_in
from fuki_build.image.inspect import inspect
from fuki_build.image.layout import Layout
from tests.support.images import Content, layout_of, write

SHA256 = frozenset(("sha256",))


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where digests are kept, an hour after any file was written, on whatever file system."""
    real = digest_cache.time.time_ns
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(file_state, "file_system", lambda _: "ext4")
    monkeypatch.setattr(digest_cache.time, "time_ns", lambda: real() + 3600 * 10**9)
    return tmp_path / "cache/fuki/digests"


def image(tmp_path: Path, *sections: Content) -> Layout:
    return inspect(write(tmp_path / "image.efi", layout_of(sections)))


def digested(layout: Layout, needs: DigestNeeds) -> Assembly:
    with keeping_digests(is_asked=True):
        return digest_image(layout, needs)


def sha256(*data: bytes) -> str:
    return hashlib.sha256(b"".join(data)).hexdigest()


@pytest.mark.usefixtures("kept")
def test_initrds_behind_other_microcode_are_told_apart(tmp_path: Path):
    microcode, initrd = {None: b"base", 0: b"zero"}, b"initrd" * 99
    sections: list[Content] = [(".linux", b"kernel", None), (".ucode", microcode[None], None)]
    sections += [(".initrd", initrd, None), (".profile", b"ID=p\n", 0), (".ucode", microcode[0], 0)]
    layout = image(tmp_path, *sections)
    places = {section.profile: section.index for section in layout.plain_sections if section.name == ".ucode"}
    behind = next(section.index for section in layout.plain_sections if section.name == ".initrd")

    for _ in range(2):
        assembly = digested(layout, measured_in(SHA256))
        for profile, place in places.items():
            state = assembly.initrd_hash((place, behind), "sha256")
            assert state is not None
            assert state.hexdigest() == sha256(microcode[profile], initrd)


@pytest.mark.usefixtures("kept")
def test_a_digest_to_sign_is_told_from_that_of_the_file_as_it_is(tmp_path: Path):
    path = write(tmp_path / "image.efi", layout_of([(".linux", b"kernel", None)]))
    with path.open("ab") as file:
        file.write(b"odd")
    layout, data = inspect(path), path.read_bytes()
    covered = b"".join(data[start:end] for start, end in layout.authenticode_ranges)

    for _ in range(2):
        assembly = digested(layout, DigestNeeds(image=SHA256, to_sign=SHA256))
        assert assembly.authenticode == sha256(covered)
        assert assembly.digest_to_sign("sha256") == sha256(covered, bytes(-len(data) % 8))


def test_a_digest_of_another_length_is_none(tmp_path: Path, kept: Path):
    layout = image(tmp_path, (".linux", b"kernel", None))
    needs = DigestNeeds(sections=SHA256)
    sections = digested(layout, needs).sections
    (entry,) = kept.iterdir()
    names = digest_entry.decode(entry.name, entry.read_bytes())
    entry.write_bytes(digest_entry.encode(entry.name, dict.fromkeys(names, b"short")))
    assert digested(layout, needs).sections == sections


def test_without_being_asked_nothing_is_kept(tmp_path: Path, kept: Path):
    layout = image(tmp_path, (".linux", b"kernel", None))
    with keeping_digests(is_asked=False):
        assert digest_image(layout, DigestNeeds(sections=SHA256)).sections
    assert not kept.exists()
