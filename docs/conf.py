"""The site of the documentation, made by Sphinx: 'make docs'.

Pages are written for code hosts as well. What these need and a site does not, or the other way round, is put right
here: links that leave this folder lead to the sources, hidden comments go, and the index becomes the navigation.
"""

import posixpath
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_HERE = Path(__file__).parent
_PROJECT = tomllib.loads((_HERE.parent / "pyproject.toml").read_text())["project"]

project = "fuki"
author = _PROJECT["authors"][0]["name"]
release = re.search(r'__version__ = "(.+?)"', (_HERE.parent / "fuki_build/__init__.py").read_text())[1]  # type: ignore[index]

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
nitpicky = True
myst_heading_anchors = 4
myst_enable_extensions = ["fieldlist"]
suppress_warnings = [
    # Recipes and transcripts leave things out ('…'), which their languages do not have.
    "misc.highlighting_failure",
]

html_theme = "furo"
html_title = f"fuki {release}"
html_copy_source = False
html_show_copyright = False
html_last_updated_fmt = None

_LINK = re.compile(r"(\]\()(\.\.?/[^)\s]*|[^)\s:#]+/?)(\))")
_FENCE = re.compile(r"(?ms)^( *)(```+).*?^\1\2$")
_COMMENT = re.compile(r"(?m)^ *<!--.*?-->\n")
_GROUP = re.compile(r"(?ms)^\*\*(.+?)\*\*\n(.*?)(?=^\*\*|\Z)")
_ENTRY = re.compile(r"\]\(([^)]+)\.md\)")


def _adapted(text: str, page: str) -> str:
    """A page's text, with `page` its name: outside of blocks of code, comments removed and links led to the sources."""
    parts, end = [], 0
    for block in _FENCE.finditer(text):
        parts += [_adapted_prose(text[end : block.start()], page), block[0]]
        end = block.end()
    parts.append(_adapted_prose(text[end:], page))
    return "".join(parts)


def _adapted_prose(text: str, page: str) -> str:
    def link(found: re.Match[str]) -> str:
        target, hash_, anchor = found[2].partition("#")
        path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), target))
        if path.startswith("docs/") and not (_HERE.parent / path).is_dir():
            return found[0]
        return f"{found[1]}{_PROJECT['urls']['Source']}{path}{hash_}{anchor}{found[3]}"

    return _LINK.sub(link, _COMMENT.sub("", text))


def _navigation(index: str) -> str:
    """What the index lists, group by group, as Sphinx has it."""
    trees = []
    for title, entries in _GROUP.findall(index):
        pages = "\n".join(_ENTRY.findall(entries))
        trees.append(f"\n```{{toctree}}\n:hidden:\n:caption: {title}\n\n{pages}\n```\n")
    return "".join(trees)


def _read(_: "Sphinx", page: str, source: list[str]) -> None:
    navigation = _navigation(source[0]) if page == "index" else ""
    source[0] = _adapted(source[0], page) + navigation


def setup(app: "Sphinx") -> None:
    app.connect("source-read", _read)
