"""What `--json` prints, held against the schema that `fuki schema --of` has of it. Needs the package `jsonschema`."""

import json
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from fuki_build.testing import invoke, succeed


@cache
def schema_of(verb: str, *plugins: str) -> dict[str, Any]:
    """A verb's schema as it is printed."""
    schema: dict[str, Any] = json.loads(succeed(Path.cwd(), *_loading(plugins), "schema", "--of", verb).out)
    return schema


def complaints(document: object, verb: str, *plugins: str) -> list[str]:
    """What is wrong with a document of a verb; besides its schema, it must not have a field that is not in it."""
    schema = deepcopy(schema_of(verb, *plugins))
    Draft202012Validator.check_schema(schema)
    for definition in schema["$defs"].values():
        if "properties" in definition:
            definition["additionalProperties"] = False
    errors = Draft202012Validator(schema).iter_errors(document)
    return [f"{error.json_path}: {error.message[:500]}" for error in errors]


def printed(directory: Path, verb: str, *arguments: object, plugins: tuple[str, ...] = (), code: int = 0) -> Any:  # noqa: ANN401
    """The document that a verb prints, which must be as its schema says."""
    outcome = invoke(directory, *_loading(plugins), *verb.split(), *arguments)
    if outcome.code != code:
        raise AssertionError(outcome.err)

    document = json.loads(outcome.out)
    if errors := complaints(document, verb, *plugins):
        raise AssertionError("\n".join(errors))

    return document


def _loading(plugins: tuple[str, ...]) -> list[str]:
    return [word for name in plugins for word in ("--plugin", name)]
