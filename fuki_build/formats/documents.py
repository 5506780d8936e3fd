"""Text, TOML and JSON that anyone may have written, decoded within limits known before parsing; and JSON of our own."""

import json
import re
import tomllib
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from fuki_build.errors import FormatError

T = TypeVar("T")


class View(Struct, frozen=True, rename="kebab"):
    """A part of a document."""


class Document(View, frozen=True, tag_field="version", tag=1):
    """A whole JSON document, such as `--json` prints: its `version` is the struct's tag, 1 where it says no other.

    It is raised when a field changes its meaning or goes away; new fields may come without that.

    >>> class Greeting(Document, frozen=True, tag=2):
    ...     addressed_to: str
    >>> print(encode_json(Greeting("world")).decode(), end="")
    {
      "version": 2,
      "addressed-to": "world"
    }
    """


D = TypeVar("D", bound=Document)

MAX_SIZE = 16 * 1024 * 1024
"""Bytes of a JSON document; fuki's own, with every digest of a large image, have some hundred KiB."""
MAX_TOML = 256 * 1024
"""Bytes; Python's parser takes about a second for the worst of this size."""
MAX_LINE = 64 * 1024
"""Characters. Parsing shell-like words and keys takes time that grows faster than their length."""
MAX_DEPTH = 32
MAX_KEY_PARTS = 16
"""Of one dotted key; Python's parser needs time and memory that grow with the square of this number."""

_INT64 = -(1 << 63), (1 << 63) - 1
"""What an integer may be, by TOML's specification; Python's parser takes any."""

# An unterminated string matches to the end: the parser will complain about it and look no further.
_TOML_MARK = re.compile(
    r'"""(?:(?!""")(?:[^\\]|\\.))*+(?:"{3,5})?|' r"""'{3}(?:(?!'{3}).)*+(?:'{3,5})?|"""
    r'"(?:[^"\\\n]|\\.)*+"?|' r"'[^'\n]*+'?|#[^\n]*+|[\[\]{}=,.\n]",
    re.DOTALL,
)  # fmt: skip
_OTHER_FLOAT = re.compile(rb"(?:^|[\s\[:,])-?(?:0\.0000|[0-9]+(?:\.[0-9]+)?[eE])")
_JSON_MARK = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)


def decode_text(data: bytes) -> str:
    """UTF-8 text without NUL. Raises `FormatError`."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise FormatError(f"it is not UTF-8 text (byte {error.start})") from error
    if "\0" in text:
        raise FormatError(f"it is not text (NUL at byte {data.index(0)})")
    return text


def check_lines(text: str) -> None:
    """Refuse a text with a line longer than `MAX_LINE`. Raises `FormatError`."""
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > MAX_LINE:
            raise FormatError(f"line {number} has {len(line)} characters, more than the {MAX_LINE} that it may have")


def decode_toml(data: bytes | str) -> dict[str, Any]:
    """A TOML document. Raises `FormatError`; a document that would exhaust the parser is refused before parsing."""
    if len(data) > MAX_TOML:
        raise FormatError(f"it has {len(data)} bytes, more than the {MAX_TOML} that it may have")

    text = decode_text(data) if isinstance(data, bytes) else data
    check_lines(text)
    _check_toml_nesting(text)

    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"it is not valid TOML: {error}") from error

    for number in _integers(document):
        if not _INT64[0] <= number <= _INT64[1]:
            raise FormatError(f"it is not valid TOML: a number has {number.bit_length()} bits, more than 64")
    return document


def decode_toml_value(text: str) -> Any:  # noqa: ANN401 - TOML data
    """A text that is a single TOML value, such as an argument. Raises `FormatError`."""
    document = decode_toml(f"value = {text}")
    if set(document) != {"value"}:
        raise FormatError("it is more than one TOML value")
    return document["value"]


def _integers(value: object) -> Iterator[int]:
    if isinstance(value, int):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _integers(item)


def _check_toml_nesting(text: str) -> None:
    """Count brackets and parts of dotted keys as the parser would, ignoring strings and comments."""
    line, depth, parts = 1, 0, 1
    for match in _TOML_MARK.finditer(text):
        mark = match[0]
        if mark == ".":
            parts += 1
        elif mark[0] not in "\"'":  # any other mark, a newline too, ends a key
            parts = 1

        if mark in ("[", "{"):
            depth += 1
        elif mark in ("]", "}"):
            depth = max(depth - 1, 0)

        if depth > MAX_DEPTH:
            raise FormatError(f"line {line} is nested more than {MAX_DEPTH} deep")
        if parts > MAX_KEY_PARTS:
            raise FormatError(f"line {line} has a key of more than {MAX_KEY_PARTS} parts")

        line += mark.count("\n")


def decode_json(data: bytes, to: type[T]) -> T:
    """A JSON document of a type. Raises `FormatError`; one that would exhaust the parser is refused before parsing."""
    if len(data) > MAX_SIZE:
        raise FormatError(f"it has {len(data)} bytes, more than the {MAX_SIZE} that it may have")

    # msgspec recurses over nested values, so depth is limited before it sees them.
    depth = 0
    for match in _JSON_MARK.finditer(data):
        depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(match[0], 0)
        if depth > MAX_DEPTH:
            raise FormatError(f"it is nested more than {MAX_DEPTH} deep")

    try:
        return msgspec.json.decode(data, type=to)
    except msgspec.ValidationError as error:
        raise FormatError(str(error)) from error
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise FormatError(f"it is not JSON: {error}") from error


class _Version(Struct):
    version: int


def decode_document(data: bytes, to: type[D]) -> D:
    """A document of our own kind. Raises `FormatError`, also for one of another version, or of none."""
    version, known = decode_json(data, _Version).version, to.__struct_config__.tag
    if version != known:
        raise FormatError(f"the document has version {version}, and {known} is the one that is known")
    return decode_json(data, to)


def encode_json(data: object, *, one_line: bool = False) -> bytes:
    """JSON to print or to write: plain ASCII, so that any terminal takes it and none is steered by what it holds.

    File names that are not UTF-8 appear with lone surrogates, as Python decodes them. It is indented, or in `one_line`,
    and ends with a newline.
    """
    try:
        fast = msgspec.json.encode(data)
    except UnicodeEncodeError:
        fast = b"\\"

    # Python's encoder takes twenty times as long. It writes nothing else otherwise than escapes, DEL and some floats.
    if fast.isascii() and b"\\" not in fast and b"\x7f" not in fast and not _OTHER_FLOAT.search(fast):
        return (fast if one_line else msgspec.json.format(fast, indent=2)) + b"\n"

    separators = (",", ":") if one_line else None
    values = msgspec.to_builtins(data, str_keys=True)
    return json.dumps(values, indent=None if one_line else 2, separators=separators).encode() + b"\n"


def encode_json_rows(document: Document, rows: Iterable[View], *, one_line: bool = False) -> Iterator[bytes]:
    """`encode_json` of a document with `rows` in its only list, which is empty in `document`, row by row.

    Never more than one of them is in memory.
    """
    before, empty, after = encode_json(document, one_line=one_line).rpartition(b"[]")
    if not empty:
        raise ValueError("the document has no empty list")

    indent = b"" if one_line else b"\n    "
    between = before + b"["
    for row in rows:
        yield between + indent + encode_json(row, one_line=one_line).rstrip().replace(b"\n", indent)
        between = b","
    yield before + empty + after if between != b"," else (b"" if one_line else b"\n  ") + b"]" + after
