"""The linter of records with many fields."""

import ast

import lint_records

FIELDS = "; ".join(f"{name}: int" for name in "abcde")
SOURCE = f"""
class Wide(Struct, frozen=True): {FIELDS}
class View(Struct): pass
class Derived(View): {FIELDS}
class Generic(View, Generic[T]): {FIELDS}
class Keywords(View, kw_only=True): {FIELDS}
class Narrow(Struct): a: int; b: int; c: int; d: int; e: ClassVar[int] = 5
class Plain: {FIELDS}
class Header(NamedTuple): {FIELDS}
class Pair(NamedTuple): a: int; b: int
"""
CALLS = """
formats.Header(1, 2, 3, 4, 5)
Header(1, b=2, c=3, d=4, e=5)
Header(a=1, b=2, c=3, d=4, e=5)
Header(*fields)
Pair(1, 2)
"""


def test_structs_with_many_fields_are_keyword_only():
    tree = ast.parse(SOURCE)
    reported = [name for _, name in lint_records.positional_structs(tree, lint_records.classes_of([tree]))]
    assert reported == ["Wide", "Derived", "Generic"]


def test_named_tuples_with_many_fields_are_made_with_keywords_or_of_decoded_fields():
    classes = lint_records.classes_of([ast.parse(SOURCE)])
    assert list(lint_records.positional_calls(ast.parse(CALLS), classes)) == [(2, "Header"), (3, "Header")]
