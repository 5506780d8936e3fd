"""Sections of a layout know their places in its table, planned or read."""

from pathlib import Path

import pytest

from fuki_build.image.blob import Blob
from fuki_build.image.inspect import inspect
from fuki_build.image.layout import Layout, with_contents
from fuki_build.image.section import Section
from tests.support.images import layout_of, write


@pytest.fixture
def layout() -> Layout:
    return layout_of([(".linux", b"kernel", None), (".cmdline", b"one", None), (".cmdline", b"two", 0)])


def test_every_section_has_its_index(layout: Layout, tmp_path: Path):
    for sections in (layout.plain_sections, inspect(write(tmp_path / "image.efi", layout)).plain_sections):
        assert [section.index for section in sections] == list(range(len(layout.sections)))


def test_a_section_of_no_layout_has_none():
    with pytest.raises(LookupError, match=r"\.linux"):
        _ = Section(name=".linux", content=Blob(), source="").index


def test_other_contents_keep_the_place(layout: Layout):
    (second,) = layout.find(".cmdline", 0)

    changed = with_contents(layout, {second.index: Blob.of_bytes(b"new")})

    assert changed.find(".cmdline", 0)[0].content.read_at(0, 3) == b"new"
    assert changed.find(".cmdline", 0)[0].index == second.index
    assert changed.find(".cmdline")[0].content.read_at(0, 3) == b"one"


def test_contents_of_a_section_that_is_not_there_are_an_error(layout: Layout):
    with pytest.raises(LookupError):
        with_contents(layout, {len(layout.sections): Blob()})
