"""The lines of a recipe's files on which its places stand, for tools that show findings beside the text."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from fuki_build.errors import FukiError
from fuki_build.recipe.mkosi_files import SECTION, read_text

Step = str | int
Steps = tuple[Step, ...]

_KEYS = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')(?:[ \t]*\.[ \t]*(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*'))*"""
_TABLE = re.compile(rf"[ \t]*(\[\[?)[ \t]*({_KEYS})[ \t]*\]")
_KEY = re.compile(rf"[ \t]*({_KEYS})[ \t]*=")
_PART = re.compile(r"""[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*'""")
_STEP = re.compile(r"""\[([0-9]+)\]|([A-Za-z0-9_-]+)|"([^"\n]*)\"""")
# An unterminated string ends with its line, or with the text.
_MARK = re.compile(
    r'"""(?:(?!""")(?:[^\\]|\\.))*+(?:"{3,5})?|' r"""'{3}(?:(?!'{3}).)*+(?:'{3,5})?|"""
    r'"(?:[^"\\\n]|\\.)*+"?|' r"'[^'\n]*+'?|#[^\n]*+|[\[\]{}\n]",
    re.DOTALL,
)  # fmt: skip
_SECTIONS = {
    ".osrel": "os-release", ".cmdline": "cmdline", ".dtb": "dtb", ".dtbauto": "dtbauto", ".hwids": "hwids",
    ".uname": "uname", ".splash": "splash", ".pcrpkey": "pcrpkey", ".linux": "linux", ".initrd": "initrd",
    ".ucode": "ucode", ".sbat": "sbat", ".sdmagic": "stub",
}  # fmt: skip
"""Sections, and the keys of `[fuki.image]` and `[[fuki.profile]]` that they come from."""
_TABLES = {".efifw": "firmware", ".fuki": "hand-over", ".pcrsig": "pcr-policy"}
_SECTION = re.compile(r"(?:@([0-9]+) )?(\.[A-Za-z0-9_]+)(?: .*)?")


class Location(Struct, frozen=True):
    """A line of a file, counted from 1."""

    path: Path
    line: int


def locate(where: str | None, files: Sequence[Path]) -> Location:
    """Where in the files of a recipe (at least one) a place stands, or the section of an image that came from it.

    The nearest table around it, where it has no line of its own; the first line of the first file, where nothing is
    known. Reads the files; one that cannot be read has no places.
    """
    steps = _steps_of(where or "")
    candidates = [(path, _lines(path)) for path in files]
    while steps:
        for path, lines in candidates:
            if steps in lines:
                return Location(path, lines[steps])
            if (*steps, 0) in lines:
                return Location(path, lines[*steps, 0])
        steps = steps[:-1]
    return Location(files[0], 1)


def _steps_of(where: str) -> Steps:
    section = _SECTION.fullmatch(where)
    if section is None:
        return _parse(where) if where == "fuki" or where.startswith(("fuki.", "fuki[")) else ("fuki",)

    profile, name = int(section[1] or 0), section[2]
    if name in _TABLES:
        return ("fuki", _TABLES[name])
    table: Steps = ("fuki", "profile", profile - 1) if profile else ("fuki", "image")
    return (*table, _SECTIONS[name]) if name in _SECTIONS else table


def _parse(place: str) -> Steps:
    return tuple(int(m[1]) if m[1] else m[2] or m[3] for m in _STEP.finditer(place))


def _lines(path: Path) -> Mapping[Steps, int]:
    try:
        text = read_text(path)
    except FukiError:
        return {}
    return lines_of_mkosi(text) if path.suffix == ".conf" else lines_of_toml(text)


def lines_of_toml(text: str) -> dict[Steps, int]:
    """The first line of every table and key of a TOML text, counted from 1; of a text with errors, what can be told."""
    lines: dict[Steps, int] = {}
    tables: dict[Steps, int] = {}
    current: Steps = ()
    for number, line in _statements(text):
        if header := _TABLE.match(line):
            current = _indexed(_names(header[2]), tables, new=header[1] == "[[")
            # The first header of a table within others is where these begin, unless they have one of their own.
            for length in range(1, len(current) + 1):
                lines.setdefault(current[:length], number)
        elif key := _KEY.match(line):
            lines.setdefault((*current, *_names(key[1])), number)

    return lines


def _indexed(names: Steps, tables: dict[Steps, int], *, new: bool) -> Steps:
    """A table's path with the number of each array's element that it is in: the last one so far."""
    path: Steps = ()
    for name in names[:-1]:
        path = (*path, name)
        if path in tables:
            path = (*path, tables[path])
    path = (*path, names[-1])
    if new:
        tables[path] = tables.get(path, -1) + 1
    return (*path, tables[path]) if path in tables else path


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """The lines on which a statement begins: not those within a text or list of several lines."""
    lines = text.splitlines()
    depth, number = 0, 1
    begins = True
    for mark in _MARK.finditer(text):
        if begins and number <= len(lines):
            yield number, lines[number - 1]
            begins = False
        word = mark[0]
        if word in "[{":
            depth += 1
        elif word in "]}":
            depth = max(0, depth - 1)
        elif word == "\n":
            begins = depth == 0
        number += word.count("\n")

    if begins and number <= len(lines):
        yield number, lines[number - 1]


def _names(dotted: str) -> Steps:
    return tuple(part.strip("\"'") for part in _PART.findall(dotted))


def lines_of_mkosi(text: str) -> dict[Steps, int]:
    """The same of an mkosi.conf: keys of its section `[Fuki]`, as those of `[fuki]` and of `[fuki.image]`."""
    lines: dict[Steps, int] = {}
    own = False
    counts: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("["):
            own = line.split("]")[0] == f"[{SECTION}"
            if own:
                lines.setdefault(("fuki",), number)
            continue
        name, equals, _ = line.partition("=")
        if own and equals and name and not name[0].isspace():
            key = re.sub(r"(?<=.)([A-Z])", r"-\1", name.strip()).lower()
            counts[key] = counts.get(key, -1) + 1
            for table in (("fuki",), ("fuki", "image")):
                lines.setdefault((*table, key), number)
                lines.setdefault((*table, key, counts[key]), number)

    return lines
