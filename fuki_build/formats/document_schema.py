"""The JSON Schema of a document, from its struct."""

import inspect
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec.inspect import StructType, Type, type_info

from fuki_build.formats.documents import Document

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def document_schema(*documents: type[Document]) -> dict[str, Any]:
    """The schema of what `encode_json` makes of such a document, of any of these kinds.

    A field is required where it is always there, whatever it is by default. Unknown fields are allowed: they may come
    without another version.
    """
    roots, definitions = msgspec.json.schema_components(documents, ref_template="#/$defs/{name}")

    for struct in {struct for document in documents for struct in _structs(type_info(document))}:
        definition = definitions[struct.__name__]
        if not struct.__struct_config__.omit_defaults:
            definition["required"] = list(definition["properties"])
    for definition in definitions.values():
        if "description" in definition:
            definition["description"] = inspect.cleandoc(definition["description"])

    root = roots[0] if len(roots) == 1 else {"anyOf": list(roots)}
    return {"$schema": DIALECT, **root, "$defs": dict(sorted(definitions.items()))}


def _structs(info: Type) -> Iterator[type[msgspec.Struct]]:
    """The structs in a type, itself among them."""
    if isinstance(info, StructType):
        yield info.cls
        parts = [field.type for field in info.fields]
    else:
        # A collection or union has its parts in fields of its own: item_type, types, value_type.
        values = (getattr(info, name) for name in info.__struct_fields__)
        parts = [part for value in values for part in (value if isinstance(value, tuple) else (value,))]

    for part in parts:
        if isinstance(part, Type):
            yield from _structs(part)
