"""What the options of a plugin are made of: whether each table in them refuses keys that it does not have.

A struct that is a field, or stands in a list, a table or a union of one, is converted from a table of the recipe as the
options themselves are. msgspec lets unknown keys of it pass unless it forbids them; a dataclass or `TypedDict` cannot.
"""

from collections import deque
from collections.abc import Iterator

from msgspec import inspect

_TABLES = (inspect.StructType, inspect.DataclassType, inspect.TypedDictType)
_MAPPINGS = (inspect.DictType, getattr(inspect, "FrozenDictType", inspect.DictType))  # younger msgspec has both


def lenient_tables(options: type) -> Iterator[tuple[str, type]]:
    """The tables in a struct that let unknown keys pass: the path of a field, as `boards[].slot`, and its class.

    Each class is given once, where it stands first. Raises `TypeError` for a type that msgspec cannot convert to.
    """
    seen: set[type] = set()
    waiting: deque[tuple[str, inspect.Type]] = deque([("", inspect.type_info(options))])

    while waiting:
        path, node = waiting.popleft()
        if isinstance(node, (*_TABLES, inspect.NamedTupleType)):
            # A table may contain itself.
            if node.cls in seen:
                continue
            seen.add(node.cls)
            forbids = isinstance(node, inspect.StructType) and node.forbid_unknown_fields
            if path and isinstance(node, _TABLES) and not forbids:
                yield path, node.cls

        waiting.extend(_parts(path, node))


def _parts(path: str, node: inspect.Type) -> Iterator[tuple[str, inspect.Type]]:
    """What a type is made of, with the path of each part."""
    if isinstance(node, (*_TABLES, inspect.NamedTupleType)):
        yield from ((f"{path}.{field.name}".lstrip("."), field.type) for field in node.fields)
    elif isinstance(node, inspect.UnionType):
        yield from ((path, part) for part in node.types)
    elif isinstance(node, inspect.TupleType):
        yield from ((f"{path}[]", part) for part in node.item_types)
    elif isinstance(node, inspect.CollectionType):
        yield f"{path}[]", node.item_type
    elif isinstance(node, _MAPPINGS):
        yield f"{path}.*", node.value_type
    elif isinstance(node, inspect.Metadata):
        yield path, node.type
