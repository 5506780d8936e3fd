"""`fuki schema` is a JSON Schema that agrees with what fuki accepts."""

import json
import tomllib
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from fuki_build.testing import succeed
from tests.conftest import RECIPE
from tests.support.recipe_mistakes import MISTAKES

EXAMPLES = sorted(Path(__file__).parents[2].glob("examples/*/fuki.toml"))


@pytest.fixture(scope="module")
def schema(tmp_path_factory):
    return json.loads(succeed(tmp_path_factory.mktemp("schema"), "schema").out)


def complaints(schema: dict, recipe: str) -> list[str]:
    return [error.message for error in Draft202012Validator(schema).iter_errors(tomllib.loads(recipe))]


def test_it_is_a_valid_schema_of_its_dialect(schema):
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(schema)


def test_it_accepts_the_workshop_recipe(schema):
    assert complaints(schema, RECIPE) == []


def test_there_are_examples():
    assert EXAMPLES


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_it_accepts_the_example(tmp_path, path):
    plugins = tomllib.loads(path.read_text())["fuki"].get("plugins", [])
    schema = json.loads(succeed(tmp_path, *(f"--plugin={name}" for name in plugins), "schema").out)
    assert complaints(schema, path.read_text()) == []


UNKNOWN = [name for name, (_, _, problem, _) in MISTAKES.items() if problem.startswith("unknown")]


@pytest.mark.parametrize("name", UNKNOWN)
def test_it_refuses_the_unknown_key_when(schema, name):
    assert complaints(schema, MISTAKES[name][0])


MISSING = [name for name, (_, _, problem, _) in MISTAKES.items() if "is missing" in problem]


@pytest.mark.parametrize("name", MISSING)
def test_it_refuses_a_recipe_with(schema, name):
    assert complaints(schema, MISTAKES[name][0])


SIGNER = {"backend": "local", "key": "db.key", "certificate": "db.crt"}


@pytest.mark.parametrize("sign", [SIGNER, [SIGNER, {"backend": "command", "command": ["sign"], "digest": "sha384"}]])
def test_it_accepts_signers(schema, sign):
    recipe = {**tomllib.loads(RECIPE)["fuki"], "sign": sign, "output": [{"format": "uki", "sign": sign}]}
    assert not list(Draft202012Validator(schema).iter_errors({"fuki": recipe}))


POLICIES = [{"key": "pcr.key", "phases": ["enter-initrd"]}, {"backend": "command", "command": ["sign"]}]


@pytest.mark.parametrize("policy", POLICIES)
def test_it_accepts_policies(schema, policy):
    recipe = {**tomllib.loads(RECIPE)["fuki"], "pcr-policy": [policy]}
    assert not list(Draft202012Validator(schema).iter_errors({"fuki": recipe}))


@pytest.mark.parametrize("policy", [{}, {"key": "k", "banks": "sha256"}, {"key": "k", "bank": []}])
def test_it_refuses_policies_that_fuki_refuses(schema, policy):
    recipe = {**tomllib.loads(RECIPE)["fuki"], "pcr-policy": [policy]}
    assert list(Draft202012Validator(schema).iter_errors({"fuki": recipe}))


def test_it_knows_the_options_of_every_source_and_format(schema):
    sources = [variant["properties"]["source"]["const"] for variant in schema["$defs"]["Firmware"]["oneOf"]]
    formats = [variant["properties"]["format"]["const"] for variant in schema["$defs"]["Output"]["oneOf"]]
    backends = [variant["properties"]["backend"]["const"] for variant in schema["$defs"]["Signer"]["oneOf"]]
    assert backends == ["command", "local"]
    assert sources == ["command", "deb", "directory", "file"]

    assert formats == [
        "addon",
        "igvm",
        "in-toto",
        "keylime",
        "manifest",
        "pcrlock",
        "predictions",
        "rvps",
        "sysupdate",
        "template",
        "uki",
    ]


def test_every_key_is_described(schema):
    properties = [
        (name, key, value)
        for name, definition in schema["$defs"].items()
        for key, value in definition.get("properties", {}).items()
    ]
    undescribed = [f"{name}.{key}" for name, key, value in properties if not set(value) & {"description", "$ref"}]
    by_their_type = {"Recipe.addon", "Recipe.profile", "InlineText.text", "TextFile.file"}
    assert set(undescribed) == by_their_type
