"""The files of an mkosi project, and which of them have a section `[Fuki]`."""

import re
from collections.abc import Iterator
from pathlib import Path

from fuki_build.errors import FormatError, RecipeError, raised_as
from fuki_build.formats import documents
from fuki_build.image.blob import Blob

SECTION = "Fuki"
TREE = "mkosi.fuki"
"""Directory in an mkosi project with the program that mkosi calls in the place of ukify."""
CONDITIONS = frozenset(("Match", "TriggerMatch"))
_PARTIAL = (
    "mkosi.local.conf",
    "mkosi.conf.d/*/mkosi.conf",
    *(f"mkosi.{kind}/{name}" for kind in ("local", "profiles", "images") for name in ("*.conf", "*/mkosi.conf")),
    *("mkosi.local/mkosi.conf.d/*.conf", "mkosi.profiles/*/mkosi.conf.d/*.conf", "mkosi.images/*/mkosi.conf.d/*.conf"),
)
"""Files that hold for a directory, a profile or an image of a project alone, or for one person's builds."""
HEADER = re.compile(r"\[\s*([^\]]*[^\]\s])\s*\]\s*(#.*)?")


def headers(text: str) -> Iterator[str]:
    """The names of a text's sections."""
    return (header[1] for line in text.splitlines() if (header := HEADER.fullmatch(line)))


def has_section(text: str) -> bool:
    return SECTION in headers(text)


def project_files(directory: Path) -> tuple[Path, ...]:
    """The files of a project in mkosi's order: mkosi.conf, then mkosi.conf.d/*.conf."""
    paths = [directory / "mkosi.conf", *sorted((directory / "mkosi.conf.d").glob("*.conf"))]
    return tuple(path for path in paths if path.is_file())


def find_sections(directory: Path) -> tuple[Path, ...]:
    """Those of a project's files that have the section.

    Raises `RecipeError` where it is in files that mkosi reads for some images or builds only.
    """
    for path in sorted(path for pattern in _PARTIAL for path in directory.glob(pattern)):
        if path.is_file() and has_section(read_text(path)):
            hint = "put it into mkosi.conf or a file of mkosi.conf.d; what it says holds for every image of the project"
            raise RecipeError(f"[{SECTION}] is not read here", where=str(path), hint=hint)

    return tuple(path for path in project_files(directory) if has_section(read_text(path)))


def read_text(path: Path) -> str:
    """A recipe's text. Raises `RecipeError` for one that is too large, or is none."""
    with raised_as(RecipeError):
        data = Blob.of_file(path).read_small(documents.MAX_TOML, f"the recipe {path}")
    with raised_as(RecipeError, str(path), of=FormatError):
        text = documents.decode_text(data)
        documents.check_lines(text)
    return text
