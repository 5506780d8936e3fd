"""Documents of anyone are refused before they exhaust a parser, and what is printed steers no terminal."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fuki_build.errors import FormatError
from fuki_build.formats import documents
from fuki_build.formats.document_schema import document_schema
from fuki_build.hardware.machine import decode_file

LIMITED = {
    "a key of very many parts": ("a" + ".a" * 50000 + " = 1", "parts|characters"),
    "a key of many parts": ("a" + ".a" * 20 + " = 1", "line 1 has a key of more than 16 parts"),
    "a table of many parts": ("\n[a" + ".a" * 20 + "]", "line 2 has a key of more than 16 parts"),
    "a key of many quoted parts": ('"a"' + ' . "a"' * 20 + " = 1", "parts"),
    "a key of many parts in a table": ("a = { b" + ".b" * 20 + " = 1 }", "parts"),
    "lists in lists": ("a = " + "[" * 40, "nested more than 32 deep"),
    "tables in tables": ("a = " + "{a=" * 40, "nested more than 32 deep"),
    "a long line": ("a = '" + "x" * 70000 + "'", "line 1 has 70006 characters"),
    "a long document": ("a = 1\n" * 50000, "bytes, more than"),
    "a NUL": ("a = '\0'", "NUL"),
    "half an escape": ('a = "' + '\\"' * 30000, "TOML"),
}


@pytest.mark.parametrize("case", LIMITED)
def test_toml_that_exhausts_its_parser_is_refused(case: str):
    text, message = LIMITED[case]
    with pytest.raises(FormatError, match=message):
        documents.decode_toml(text.encode())


@pytest.mark.parametrize(
    "text",
    [
        'a = "' + "." * 100 + "[" * 100 + '"',
        "a = '" + "." * 100 + "[" * 100 + "'",
        'a = """\n' + '.\\"\n' * 100 + "[" * 100 + '"""',
        "a = '''" + "[" * 100 + "'\n" + "." * 100 + "''''",
        "# " + "." * 100 + "[" * 100 + "\na = 1",
        "a = [" + "[1.5, 2.5]," * 100 + "]",
        "a = [\n" + "1.0,\n" * 100 + "]",
        'a = "\\""\nb = [' + '"x.y",' * 100 + "]",
    ],
)
def test_what_stands_in_strings_and_comments_does_not_count(text: str):
    assert documents.decode_toml(text)


@pytest.mark.parametrize("number", [-(1 << 63), (1 << 63) - 1])
def test_integers_have_64_bits(number: int):
    assert documents.decode_toml(f"a = [{{ b = {number} }}]") == {"a": [{"b": number}]}
    beyond = number + (1 if number > 0 else -1)
    with pytest.raises(FormatError, match="more than 64"):
        documents.decode_toml(f"a = [{{ b = {beyond} }}]")


def test_a_machine_file_has_the_same_limits():
    with pytest.raises(FormatError, match="this is not a machine file: line 1 has a key"):
        decode_file(("machine" + ".a" * 12000 + " = 1").encode(), "x")


JSON = {
    "deep": b"[" * 100000,
    "deep objects": b'{"a":' * 100000,
    "invalid UTF-8": b'["\xff"]',
    "half a character": b'["\\ud800"]',
    "no JSON": b"nonsense",
    "nothing": b"",
    "another type": b"1",
}


@pytest.mark.parametrize("case", JSON)
def test_json_that_is_none_is_a_format_error(case: str):
    with pytest.raises(FormatError):
        documents.decode_json(JSON[case], list[str])


def test_brackets_in_json_strings_do_not_count():
    assert documents.decode_json(b'["' + b"[" * 100 + b'\\"[[' + b'"]', list[str])


class Odd(msgspec.Struct, rename="kebab"):
    one_text: str
    raw: bytes = b"\0"
    by_number: dict[int, Any] = {}


@pytest.mark.parametrize("text", ["a\x9b31m\x85\u2028", "\x1b[31m\x7f", "caf\udce9", "Ünïcode \U0001f600"])
def test_printed_json_is_ascii_and_the_same_data(text: str):
    printed = documents.encode_json(Odd(text, by_number={1: [text]})).decode("ascii")
    assert printed.replace("\n", "").isprintable()
    assert json.loads(printed) == {"one-text": text, "raw": "AA==", "by-number": {"1": [text]}}


_TEXTS = st.text() | st.sampled_from(["\x7f", "\\", '"', "1e5", " 1e5", "\ud800", "<>&/", "\u2028"])
_NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
_VALUES = st.recursive(
    st.none() | st.booleans() | _NUMBERS | _TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=4),
    max_leaves=12,
)


@given(_VALUES)
@example([1e-05, 0.0001, 1e16, 1e22, 123456.789, -0.0, 5e-324])
def test_json_is_as_pythons_encoder_writes_it(value: object):
    assert documents.encode_json(value) == json.dumps(value, indent=2).encode() + b"\n"
    assert documents.encode_json(value, one_line=True) == json.dumps(value, separators=(",", ":")).encode() + b"\n"


class Rows(documents.Document, frozen=True):
    name: str
    rows: tuple["Node", ...]


@pytest.mark.parametrize("one_line", [False, True])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_rows_that_are_encoded_one_by_one_make_the_same_document(count: int, one_line: bool):
    rows = tuple(Node(f"[] {number}", "caf\udce9\n" * number) for number in range(count))
    drawn: list[Node] = []

    def draw() -> Iterator[Node]:
        for row in rows:
            drawn.append(row)
            yield row

    pieces = documents.encode_json_rows(Rows("a []", ()), draw(), one_line=one_line)
    text = b""
    for number, piece in enumerate(pieces, 1):
        assert len(drawn) == min(number, count)
        text += piece
    assert text == documents.encode_json(Rows("a []", rows), one_line=one_line)


class Second(documents.Document, frozen=True, tag=2, forbid_unknown_fields=True):
    image_name: str
    notes: tuple[str, ...] = ()


def test_a_document_begins_with_its_version():
    assert list(json.loads(documents.encode_json(Second("a"))).items()) == [
        ("version", 2),
        ("image-name", "a"),
        ("notes", []),
    ]


def test_a_document_is_read_back():
    assert documents.decode_document(documents.encode_json(Second("a", ("b",))), Second) == Second("a", ("b",))


@pytest.mark.parametrize(
    "text",
    [
        '{"image-name": "a"}',
        '{"version": 1, "image-name": "a"}',
        '{"version": 3, "image-name": "a"}',
        '{"version": "2", "image-name": "a"}',
        '{"version": 2}',
        '{"version": 2, "image-name": "a", "more": 1}',
        "[]",
        "",
    ],
)
def test_a_document_of_another_version_or_kind_is_refused(text: str):
    with pytest.raises(FormatError):
        documents.decode_document(text.encode(), Second)


class Node(documents.View, frozen=True, omit_defaults=True):
    name: str
    hint: str | None = None


class Whole(documents.Document, frozen=True):
    nodes: dict[str, tuple[Node, ...]]
    other: Node | None = None


def test_a_schema_requires_what_is_always_printed():
    definitions = document_schema(Whole)["$defs"]
    assert definitions["Whole"]["required"] == ["version", "nodes", "other"]
    assert definitions["Node"]["required"] == ["name"]


@pytest.mark.parametrize(("text", "value"), [("7", 7), ('"a"', "a"), ("[1, 2]", [1, 2]), ("{a = 1}", {"a": 1})])
def test_an_argument_is_one_toml_value(text: str, value: object):
    assert documents.decode_toml_value(text) == value


@pytest.mark.parametrize("text", ["1\nother = 2", "1\n[table]", "", "1 2", "a"])
def test_what_is_not_one_toml_value_is_refused(text: str):
    with pytest.raises(FormatError, match="TOML"):
        documents.decode_toml_value(text)
