"""The page that `fuki diff` writes."""

import hashlib
from html.parser import HTMLParser
from pathlib import Path

from fuki_build.testing import invoke, refused, succeed
from tests.support.compared_images import OLD


class _Cells(HTMLParser):
    """The texts of a page's cells and headings, and its tags."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, *_: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


def test_a_page_has_what_is_printed_escaped_and_what_was_forbidden(fleet: Path, tmp_path: Path):
    changed, page = tmp_path / "changed.efi", tmp_path / "page.html"
    succeed(fleet, "edit", OLD, "--set", ".cmdline=<script>alert()</script>", "-o", changed)
    outcome = invoke(fleet, "diff", OLD, changed, "--forbid", ".cmdline", "--html", page)
    assert outcome.code == 3
    cells = _Cells(page.read_text())
    assert {"Sections", "Texts", "<script>alert()</script>", "section .cmdline is changed"} <= {
        text.removeprefix(": ") for text in cells.texts
    }
    assert "script" not in cells.tags
    assert hashlib.sha256((fleet / OLD).read_bytes()).hexdigest() in cells.texts


def test_a_page_replaces_no_image_that_was_read(fleet: Path):
    assert OLD in refused(fleet, "diff", OLD, OLD, "--html", OLD)
