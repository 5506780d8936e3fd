"""The `[Fuki]` section of an mkosi.conf: mkosi passes over sections that it does not know.

Keys are the recipe's in mkosi's CamelCase. `[fuki]`'s and `[fuki.image]`'s stand side by side (`Name=`, `Linux=`,
`OsRelease=`); a list's items are separated by white space or given by repeating the key; a table of an array is one
line of words `key=value` (`Firmware=source=directory path=firmware/ovmf platforms=qemu`), and so is `HandOver=`.
What is longer goes into a fuki.toml beside it, named by `Recipe=`, over which the keys here then stand.
"""

import re
import shlex
from functools import cache
from pathlib import Path
from typing import Any, get_args

import msgspec
from msgspec import Struct

from fuki_build.errors import FormatError, RecipeError, did_you_mean, raised_as
from fuki_build.formats import documents
from fuki_build.image.blob import Blob
from fuki_build.recipe.model import (
    AddonTable,
    ExpectTable,
    FirmwareTable,
    HandOverTable,
    ImageTable,
    LaunchTable,
    OutputTable,
    ProfileTable,
    Recipe,
)

SECTION = "Fuki"
TREE = "mkosi.fuki"
"""Directory in an mkosi project with the program that mkosi calls in the place of ukify."""
_CONDITIONS = frozenset(("Match", "TriggerMatch"))
_NUMBER = re.compile(r"[0-9]{1,20}|0x[0-9A-Fa-f]{1,16}")
_HEADER = re.compile(r"\[(.+)\]\s*(#.*)?")
_ARRAYS: dict[str, type[msgspec.Struct]] = {
    "firmware": FirmwareTable,
    "profile": ProfileTable,
    "addon": AddonTable,
    "output": OutputTable,
    "expect": ExpectTable,
    "launch": LaunchTable,
}
_TABLES: dict[str, type[msgspec.Struct]] = {"hand-over": HandOverTable}
_PARTIAL = (
    "mkosi.local.conf",
    "mkosi.conf.d/*/mkosi.conf",
    *(f"mkosi.{kind}/{name}" for kind in ("local", "profiles", "images") for name in ("*.conf", "*/mkosi.conf")),
    *("mkosi.local/mkosi.conf.d/*.conf", "mkosi.profiles/*/mkosi.conf.d/*.conf", "mkosi.images/*/mkosi.conf.d/*.conf"),
)
"""Files that hold for a directory, a profile or an image of a project alone, or for one person's builds."""
_MAPPINGS = ("variables", "sections")


class MkosiSection(Struct):
    """What the section says: the recipe's own keys, `[fuki.image]`'s, and the file that `Recipe=` names."""

    recipe: str | None = None
    top: dict[str, Any] = {}
    image: dict[str, Any] = {}


def has_section(text: str) -> bool:
    return any(header[1] == SECTION for line in text.splitlines() if (header := _HEADER.fullmatch(line)))


def find_sections(directory: Path) -> tuple[Path, ...]:
    """The files of an mkosi project that have the section, in mkosi's order: mkosi.conf, then mkosi.conf.d/*.conf.

    Raises `RecipeError` where it is in files that mkosi reads for some images or builds only.
    """
    for path in sorted(path for pattern in _PARTIAL for path in directory.glob(pattern)):
        if path.is_file() and has_section(read_text(path)):
            hint = "put it into mkosi.conf or a file of mkosi.conf.d; what it says holds for every image of the project"
            raise RecipeError(f"[{SECTION}] is not read here", where=str(path), hint=hint)

    paths = [directory / "mkosi.conf", *sorted((directory / "mkosi.conf.d").glob("*.conf"))]
    return tuple(path for path in paths if path.is_file() and has_section(read_text(path)))


def read_text(path: Path) -> str:
    """A recipe's text. Raises `RecipeError` for one that is too large, or is none."""
    with raised_as(RecipeError):
        data = Blob.of_file(path).read_small(documents.MAX_TOML, f"the recipe {path}")
    with raised_as(RecipeError, str(path), of=FormatError):
        text = documents.decode_text(data)
        documents.check_lines(text)
    return text


def _camel(key: str) -> str:
    return "".join(word.capitalize() for word in key.split("-"))


def _fields(table: type[msgspec.Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    return {_camel(f.encode_name): f for f in msgspec.structs.fields(table)}


def parse(text: str, file: str) -> MkosiSection:
    """Parse the section. Raises `RecipeError` naming file, line and the nearest known key."""
    top, image = _fields(Recipe), _fields(ImageTable)
    del top["Image"]
    section = MkosiSection()

    condition = next(
        (h[1] for line in text.splitlines() if (h := _HEADER.fullmatch(line)) and h[1] in _CONDITIONS), None
    )
    if condition is not None and has_section(text):
        hint = f"put [{SECTION}] into a file without conditions; what it says holds for every image of the project"
        raise RecipeError(f"[{SECTION}] cannot depend on [{condition}]", where=file, hint=hint)

    for number, key, value in _assignments(text, file):
        where = f"{file}:{number}: {key}="
        if len(value) > documents.MAX_LINE:
            raise RecipeError(f"the value has more than {documents.MAX_LINE} characters", where=where)
        if key == "Recipe":
            section.recipe = value
        elif key in top:
            _assign(section.top, top[key], value, where)
        elif key in image:
            _assign(section.image, image[key], value, where)
        else:
            known = ["Recipe", *top, *image]
            hint = did_you_mean(key, known) or f"known keys: {', '.join(sorted(known))}"
            raise RecipeError(f"unknown key {key!r} in [{SECTION}]", where=where, hint=hint)

    return section


def merge(base: dict[str, Any], section: MkosiSection) -> dict[str, Any]:
    """The section's keys over a recipe's; arrays of tables are added to."""
    data = {**base, **section.top}
    # What is no list or table is left as it is, for the conversion to complain about.
    for key in _ARRAYS:
        if key in base and key in section.top:
            data[key] = [*base[key], *section.top[key]] if isinstance(base[key], list) else base[key]
    if section.image and isinstance(base.get("image", {}), dict):
        data["image"] = {**base.get("image", {}), **section.image}
    return data


def _assignments(text: str, file: str) -> list[tuple[int, str, str]]:
    """Line number, key and value of each assignment; indented lines continue the one before.

    A comment is a line that begins with `#` or `;`: both can be part of a value, such as a command line's.
    """
    assignments: list[tuple[int, str, str]] = []
    inside = False

    for number, line in enumerate(text.splitlines(), 1):
        header = _HEADER.fullmatch(line)
        if header:
            inside = header[1] == SECTION
        elif not inside or not line.strip() or line.lstrip().startswith(("#", ";")):
            continue
        elif line[0].isspace() and line.lstrip().startswith("["):
            # mkosi, which passes over the section's values, takes such a line for the start of a section.
            hint = "let the line begin with something else, or join it to the one before"
            problem = f"{line.strip()!r} continues a value, and mkosi would take it for a section"
            raise RecipeError(problem, where=f"{file}:{number}", hint=hint)
        elif line[0].isspace() and assignments:
            at, key, value = assignments[-1]
            if len(value) > documents.MAX_LINE:
                raise RecipeError(
                    f"the value has more than {documents.MAX_LINE} characters", where=f"{file}:{at}: {key}="
                )
            assignments[-1] = (at, key, f"{value}\n{line.strip()}".strip())
        elif "=" in line:
            key, _, value = line.partition("=")
            assignments.append((number, key.strip(), value.strip()))
        else:
            raise RecipeError(f"{line.strip()!r} is not Key=Value", where=f"{file}:{number}")

    return assignments


def _assign(data: dict[str, Any], info: msgspec.structs.FieldInfo, value: str, where: str) -> None:
    key = info.encode_name
    if key in _ARRAYS:
        data.setdefault(key, []).extend(_table(line, _ARRAYS[key], where) for line in value.splitlines() if line)
    elif key in _TABLES:
        data[key] = _table(value, _TABLES[key], where)
    elif key in _MAPPINGS:
        data.setdefault(key, {}).update(_pairs(value, where))
    elif _is_list(info.type):
        # As in mkosi, an empty assignment clears what was there.
        if not value:
            data[key] = []
        data.setdefault(key, []).extend(_words(value, where))
    else:
        data[key] = value


def _is_list(annotation: Any) -> bool:  # noqa: ANN401 - any annotation
    origin = getattr(annotation, "__origin__", None)
    return origin is tuple or any(_is_list(argument) for argument in get_args(annotation))


def _words(value: str, where: str) -> list[str]:
    try:
        return shlex.split(value)
    except ValueError as error:
        raise RecipeError(f"the quotes do not match: {error}", where=where) from None


def _pairs(value: str, where: str) -> dict[str, str]:
    pairs = {}
    for word in _words(value, where):
        key, equals, text = word.partition("=")
        if not equals:
            raise RecipeError(f"{word!r} is not key=value", where=where, hint="quote values that hold spaces")
        pairs[key] = text
    return pairs


@cache
def _types(table: type[msgspec.Struct]) -> dict[str, Any]:
    return {f.encode_name: f.type for f in msgspec.structs.fields(table)}


def _table(line: str, table: type[msgspec.Struct], where: str) -> dict[str, Any]:
    fields = _types(table)
    data: dict[str, Any] = {}
    for key, text in _pairs(line, where).items():
        item = _boolean if _of(bool, fields.get(key)) else _number if _of(int, fields.get(key)) else str
        if text[:1] in ("[", "{"):
            data[key] = _value(text, where)
        elif _is_list(fields.get(key)):
            data[key] = [item(word) for word in text.split(",")]
        else:
            data[key] = item(text)
    return data


def _number(text: str) -> int | str:
    """A number, also as 0x…; other text is left for the conversion to complain about."""
    return int(text, 0 if text.startswith("0x") else 10) if _NUMBER.fullmatch(text) else text


def _boolean(text: str) -> bool | str:
    """A truth value in mkosi's words; other text is left for the conversion to complain about."""
    return {"true": True, "yes": True, "false": False, "no": False}.get(text, text)


def _of(kind: type, annotation: Any) -> bool:  # noqa: ANN401 - any annotation
    return annotation is kind or any(_of(kind, argument) for argument in get_args(annotation))


def _value(text: str, where: str) -> Any:  # noqa: ANN401 - TOML data
    with raised_as(RecipeError, where, of=FormatError, about=f"{text!r} is not a TOML value"):
        return documents.decode_toml_value(text)
