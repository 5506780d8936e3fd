"""Records with many fields are made with keywords: fail where a struct of five fields or more may be made without.

    python tools/lint_records.py

A named tuple cannot say that of itself, so its calls are looked at; `Header(*fields)` of decoded bytes is one that may.
"""

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

CHECKOUT = Path(__file__).parent.parent
MANY = 5
"""Fields from which on nobody can tell what the third argument is."""


def name_of(node: ast.expr) -> str:
    """The last part of a dotted name; empty for anything else."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Subscript(value=value):
            return name_of(value)
        case _:
            return ""


def classes_of(trees: Iterable[ast.Module]) -> dict[str, ast.ClassDef]:
    """The classes of modules, by name."""
    return {node.name: node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}


def derives_from(base: str, node: ast.ClassDef, classes: Mapping[str, ast.ClassDef]) -> bool:
    """Whether a class derives from another by way of these classes."""
    names = [name_of(expression) for expression in node.bases]
    return base in names or any(derives_from(base, classes[name], classes) for name in names if name in classes)


def field_count(node: ast.ClassDef) -> int:
    """The fields of a class's own."""
    fields = [statement for statement in node.body if isinstance(statement, ast.AnnAssign)]
    return sum(name_of(field.annotation) != "ClassVar" for field in fields)


def is_keyword_only(node: ast.ClassDef) -> bool:
    return any(keyword.arg == "kw_only" and ast.unparse(keyword.value) == "True" for keyword in node.keywords)


def positional_structs(tree: ast.Module, classes: Mapping[str, ast.ClassDef]) -> Iterator[tuple[int, str]]:
    """A module's structs with many fields that may be made without keywords: the line, and the name."""
    for name, node in classes_of([tree]).items():
        if field_count(node) >= MANY and derives_from("Struct", node, classes) and not is_keyword_only(node):
            yield node.lineno, name


def positional_calls(tree: ast.Module, classes: Mapping[str, ast.ClassDef]) -> Iterator[tuple[int, str]]:
    """Where a module makes a named tuple with many fields without keywords: the line, and its name."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or all(isinstance(argument, ast.Starred) for argument in node.args):
            continue
        record = classes.get(name_of(node.func))
        if record and field_count(record) >= MANY and derives_from("NamedTuple", record, classes):
            yield node.lineno, record.name


def main() -> int:
    modules = sorted([*CHECKOUT.glob("fuki_build/**/*.py"), *CHECKOUT.glob("plugins/*/fuki_*/**/*.py")])
    trees = {module.relative_to(CHECKOUT).as_posix(): ast.parse(module.read_text()) for module in modules}
    classes = classes_of(trees.values())

    faults = [
        f"{path}:{line}: {name} has many fields, and no kw_only=True"
        for path, tree in trees.items()
        for line, name in positional_structs(tree, classes)
    ]
    faults += [
        f"{path}:{line}: {name} has many fields, and is made without their names"
        for path, tree in trees.items()
        for line, name in positional_calls(tree, classes)
    ]
    for fault in faults:
        print(fault)

    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
