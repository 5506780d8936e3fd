"""The pictures in the documentation are those that `make screenshots` makes."""

import struct
import subprocess
import sys
from pathlib import Path

import screenshots

CHECKOUT = Path(__file__).parent.parent.parent
MAX_SIZE = 150_000


def dimensions(picture: Path) -> tuple[int, int]:
    """Width and height of a PNG, from its first chunk."""
    data = picture.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert data[12:16] == b"IHDR"
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def test_the_documentation_has_the_screenshots_that_the_tool_makes(tmp_path):
    # In a process of its own: a process has one browser at a time, and other tests may have one.
    subprocess.run([sys.executable, CHECKOUT / "tools" / "screenshots.py", tmp_path], check=True)
    sizes = {path.name: dimensions(path) for path in tmp_path.glob("*.png")}
    kept = {path.name: dimensions(path) for path in (CHECKOUT / "docs" / "images").iterdir()}
    assert kept == sizes == {name: (shot.width, shot.height) for name, shot in screenshots.SCREENSHOTS.items()}


def test_they_are_small_and_each_stands_on_a_page():
    pages = "".join(path.read_text() for path in (CHECKOUT / "docs").glob("**/*.md"))
    for picture in (CHECKOUT / "docs" / "images").iterdir():
        assert picture.stat().st_size < MAX_SIZE
        assert f"images/{picture.name})" in pages
