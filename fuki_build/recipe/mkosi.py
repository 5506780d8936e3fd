"""The `[Fuki]` section of an mkosi.conf: mkosi passes over sections that it does not know.

Keys are the recipe's in mkosi's CamelCase. `[fuki]`'s and `[fuki.image]`'s stand side by side (`Name=`, `Linux=`,
`OsRelease=`); a list's items are separated by white space or given by repeating the key; a table of an array is one
line of words `key=value` (`Firmware=source=directory path=firmware/ovmf platforms=qemu`), and so is `HandOver=`.
What is longer goes into a fuki.toml beside it, named by `Recipe=`, over which the keys here then stand.
"""

import shlex
from collections.abc import Mapping
from typing import Any, get_args

import msgspec
from msgspec import Struct

from fuki_build.errors import RecipeError, did_you_mean
from fuki_build.formats import documents
from fuki_build.recipe.firmware_model import FirmwareTable
from fuki_build.recipe.image_settings import ImageSettings
from fuki_build.recipe.mkosi_files import CONDITIONS, HEADER, SECTION, has_section, headers
from fuki_build.recipe.model import (
    AddonTable,
    ExpectTable,
    HandOverTable,
    ImageTable,
    LaunchTable,
    OutputTable,
    PcrPolicyTable,
    ProfileTable,
    Recipe,
    SignTable,
)
from fuki_build.recipe.text import place_of
from fuki_build.recipe.words import Word, items_of, opens_table, read_toml, read_value, takes_table

ARRAYS: Mapping[str, type[Struct]] = {
    "firmware": FirmwareTable,
    "profile": ProfileTable,
    "addon": AddonTable,
    "output": OutputTable,
    "expect": ExpectTable,
    "sign": SignTable,
    "pcr-policy": PcrPolicyTable,
    "launch": LaunchTable,
}
_TABLES: Mapping[str, type[Struct]] = {"hand-over": HandOverTable}
_OWN_KEYS = (ProfileTable, AddonTable, ExpectTable, LaunchTable)
"""Tables that name no plugin's contribution, which would take keys of its own."""
_MAPPINGS = ("variables", "sections", "matrix")


class MkosiSection(Struct, kw_only=True):
    """What the section says: the recipe's own keys, `[fuki.image]`'s, and the file that `Recipe=` names.

    `lines` are files and lines by place (`fuki.image.linux`), `table_lines` those of an array's tables by its key.
    """

    recipe: str | None = None
    top: dict[str, Any] = {}
    image: dict[str, Any] = {}
    lines: dict[str, str] = {}
    table_lines: dict[str, list[str]] = {}


class Assignment(Struct, frozen=True):
    """A key, and the lines of its value by their numbers; those that are indented continue it."""

    key: str
    lines: list[tuple[int, str]]

    @property
    def number(self) -> int:
        return self.lines[0][0]

    @property
    def value(self) -> str:
        return "\n".join(text for _, text in self.lines).strip()


def _camel(key: str) -> str:
    return "".join(word.capitalize() for word in key.split("-"))


def _fields(table: type[Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    return {_camel(f.encode_name): f for f in msgspec.structs.fields(table)}


def parse(text: str, file: str, settings: ImageSettings | None = None) -> MkosiSection:
    """Parse the section; specifiers stand for `settings`. Raises `RecipeError` naming file, line and nearest key."""
    settings = settings or ImageSettings()
    top, image = _fields(Recipe), _fields(ImageTable)
    del top["Image"]
    section = MkosiSection()

    condition = next((header for header in headers(text) if header in CONDITIONS), None)
    if condition is not None and has_section(text):
        hint = f"put [{SECTION}] into a file without conditions; what it says holds for every image of the project"
        raise RecipeError(f"[{SECTION}] cannot depend on [{condition}]", where=file, hint=hint)

    for assignment in _assignments(text, file):
        key, where = assignment.key, f"{file}:{assignment.number}: {assignment.key}="
        if len(assignment.value) > documents.MAX_LINE:
            raise RecipeError(f"the value has more than {documents.MAX_LINE} characters", where=where)
        lines = [(number, settings.expand(line, f"{file}:{number}: {key}=")) for number, line in assignment.lines]
        expanded = Assignment(key, lines)
        if key == "Recipe":
            section.recipe = expanded.value
        elif key in top:
            _assign(section, section.top, "fuki", top[key], expanded, file)
        elif key in image:
            _assign(section, section.image, "fuki.image", image[key], expanded, file)
        else:
            known = ["Recipe", *top, *image]
            hint = did_you_mean(key, known) or f"known keys: {', '.join(sorted(known))}"
            raise RecipeError(f"unknown key {key!r} in [{SECTION}]", where=where, hint=hint)

    return section


def merge(base: dict[str, Any], section: MkosiSection) -> dict[str, Any]:
    """The section's keys over a recipe's; arrays of tables are added to."""
    data = {**base, **section.top}
    # What is no list or table is left as it is, for the conversion to complain about.
    for key in ARRAYS:
        if key in base and key in section.top:
            own = [base[key]] if key == "sign" and isinstance(base[key], dict) else base[key]
            data[key] = [*own, *section.top[key]] if isinstance(own, list) else own
    if section.image and isinstance(base.get("image", {}), dict):
        data["image"] = {**base.get("image", {}), **section.image}
    return data


def _assignments(text: str, file: str) -> list[Assignment]:
    """The section's assignments.

    A comment is a line that begins with `#` or `;`: both can be part of a value, such as a command line's.
    """
    assignments: list[Assignment] = []
    inside = False
    length = 0

    for number, line in enumerate(text.splitlines(), 1):
        header = HEADER.fullmatch(line)
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
            last = assignments[-1]
            length += len(line)
            if length > documents.MAX_LINE:
                where = f"{file}:{last.number}: {last.key}="
                raise RecipeError(f"the value has more than {documents.MAX_LINE} characters", where=where)
            last.lines.append((number, line.strip()))
        elif "=" in line:
            key, _, value = line.partition("=")
            assignments.append(Assignment(key.strip(), [(number, value.strip())]))
            length = len(value)
        else:
            raise RecipeError(f"{line.strip()!r} is not Key=Value", where=f"{file}:{number}")

    return assignments


def _assign(
    section: MkosiSection,
    data: dict[str, Any],
    table: str,
    info: msgspec.structs.FieldInfo,
    assignment: Assignment,
    file: str,
) -> None:
    """Put a key's value into the data of its table. As in mkosi, an empty assignment clears a list."""
    key, value = info.encode_name, assignment.value
    where = f"{file}:{assignment.number}: {assignment.key}="
    section.lines[f"{table}.{key}"] = f"{file}:{assignment.number}"

    if key in ARRAYS and table == "fuki":
        _add_tables(section, key, assignment, file)
    elif key in _TABLES and table == "fuki":
        data[key] = _table(value, _TABLES[key], where)
    elif key in _MAPPINGS:
        data.setdefault(key, {}).update(_mapping(section, table, info, assignment, file))
    elif items_of(info.type) is not None:
        if not value:
            data[key] = []
        for number, line in assignment.lines:
            data.setdefault(key, []).extend(_items(line, info.type, f"{file}:{number}: {assignment.key}="))
    else:
        data[key] = read_value(value, info.type, where)


def _add_tables(section: MkosiSection, key: str, assignment: Assignment, file: str) -> None:
    """A table of each line, behind those that are there."""
    if not assignment.value:
        section.top[key], section.table_lines[key] = [], []
    for number, line in assignment.lines:
        if line:
            table = _table(line, ARRAYS[key], f"{file}:{number}: {assignment.key}=")
            section.top.setdefault(key, []).append(table)
            section.table_lines.setdefault(key, []).append(f"{file}:{number}")


def _mapping(
    section: MkosiSection, table: str, info: msgspec.structs.FieldInfo, assignment: Assignment, file: str
) -> dict[str, Any]:
    """Names of the user's own, and what they stand for."""
    # The words of an axis are its values as they stand: none is a number.
    of = tuple[str, ...] | dict[str, Any] if info.encode_name == "matrix" else get_args(_plain(info.type))[1]
    mapping: dict[str, Any] = {}
    for number, line in assignment.lines:
        where = f"{file}:{number}: {assignment.key}="
        for name, text in _pairs(line, where).items():
            mapping[name] = read_value(text, of, where)
            section.lines[place_of(f"{table}.{info.encode_name}", name)] = f"{file}:{number}"
    return mapping


def _plain(annotation: Any) -> Any:  # noqa: ANN401 - any annotation
    """A type without what is noted beside it."""
    return getattr(annotation, "__origin__", annotation) if hasattr(annotation, "__metadata__") else annotation


def _items(line: str, annotation: Any, where: str) -> list[Any]:  # noqa: ANN401 - any annotation
    """The items in one line of a list: words, or what TOML writes as a list or a table."""
    if line.startswith("["):
        items = read_toml(line, where)
        return items if isinstance(items, list) else [items]
    if opens_table(line) and takes_table(items_of(annotation)):
        return [read_toml(line, where)]
    return list(_words(line, where))


def _words(value: str, where: str) -> list[str]:
    try:
        return shlex.split(value)
    except ValueError as error:
        raise RecipeError(f"the quotes do not match: {error}", where=where) from None


def _pairs(value: str, where: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for word in _words(value, where):
        key, equals, text = word.partition("=")
        if not equals:
            raise RecipeError(f"{word!r} is not key=value", where=where, hint="quote values that hold spaces")
        if key in pairs:
            hint = "say it once; items of a list are separated by commas"
            raise RecipeError(f"{key!r} is there twice", where=where, hint=hint)
        pairs[key] = text
    return pairs


def _table(line: str, table: type[Struct], where: str) -> dict[str, Any]:
    """A table of one line: words `key=value`, or a table as TOML writes it."""
    if opens_table(line):
        value = read_toml(line, where)
        return value if isinstance(value, dict) else {"": value}

    fields = {field.encode_name: field.type for field in msgspec.structs.fields(table)}
    data: dict[str, Any] = {}
    for key, text in _pairs(line, where).items():
        value = read_value(text, fields.get(key, str), where)
        # A plugin's contribution may take the key as something else than a text.
        data[key] = Word(value) if isinstance(value, str) and table not in _OWN_KEYS else value
    return data
