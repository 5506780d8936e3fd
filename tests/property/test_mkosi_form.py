"""Whatever a recipe can say in fuki.toml, it can say in the `[Fuki]` of an mkosi.conf."""

from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin
from uuid import UUID

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fuki_build.hooks.host import Contribution
from fuki_build.hooks.signers import KeySigner
from fuki_build.pipeline import new_host
from fuki_build.recipe.firmware_model import FirmwareTable
from fuki_build.recipe.load import load_recipe
from fuki_build.recipe.model import HandOverTable, ImageTable, OutputTable, PcrPolicyTable, Recipe, SignTable
from fuki_build.recipe.plugin_tables import read_plugin_table
from tests.support.mkosi_form import as_section, as_toml

HOST = new_host(["hand-over", "coco", "sbsign"])


class Kind(NamedTuple):
    """Tables that name a plugin's contribution under a key: the hook that has all of them, and what finds one."""

    table: type[msgspec.Struct]
    key: str
    hook: str
    find: Callable[[str], Contribution[Any]]
    base: type = object


KINDS = {
    "firmware": Kind(FirmwareTable, "source", "fuki_firmware_sources", HOST.firmware_source),
    "output": Kind(OutputTable, "format", "fuki_outputs", HOST.output),
    "sign": Kind(SignTable, "backend", "fuki_signers", HOST.signer),
    "pcr-policy": Kind(PcrPolicyTable, "backend", "fuki_signers", HOST.signer, KeySigner),
    "hand-over": Kind(HandOverTable, "interface", "fuki_hand_overs", HOST.hand_over),
}
# What fails is shown as it is: to make these recipes smaller takes minutes.
QUICK = settings(phases=(Phase.generate,), suppress_health_check=list(HealthCheck))
MINIMAL: dict[str, Any] = {"name": "acme", "image": {"stub": "stub"}}


NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,6}", fullmatch=True)


def fields(table: type[msgspec.Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    return {field.encode_name: field for field in msgspec.structs.fields(table)}


def texts() -> st.SearchStrategy[str]:
    """One line that is no template: these are programs. White space at its ends is nobody's."""
    texts = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=12)
    odd = st.sampled_from(
        ["a#b", "#", "a ; b", "100%", "%i", "[a]", "a,b", "'", '"', "\\", "yes", "7", "a=b", "{", "0x10"]
    )
    plain = (texts | odd).filter(lambda text: text == text.strip() and not set("\x85\u2028\u2029") & set(text))
    return plain.filter(lambda text: not {"{{", "{%", "{#"} & {text[i : i + 2] for i in range(len(text))})


def values(annotation: object, meta: msgspec.Meta | None = None) -> st.SearchStrategy[Any]:
    """Anything of a type that TOML can write."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return values(arguments[0], next((note for note in arguments[1:] if _bounds(note)), meta))
    if origin in (Union, UnionType):
        return _one_of([argument for argument in arguments if argument is not type(None)], meta)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is tuple:
        return st.lists(values(arguments[0]), min_size=1, max_size=3)
    if origin is dict:
        keys = NAMES if arguments[0] is str else values(arguments[0])
        items = st.just("x") if arguments[1] is Any else values(arguments[1])
        return st.dictionaries(keys, items, min_size=1, max_size=2)

    assert isinstance(annotation, type)
    return _plain_values(annotation, meta)


def _one_of(arguments: list[Any], meta: msgspec.Meta | None) -> st.SearchStrategy[Any]:
    """What has a comma or begins as a list is said in a list, and what begins as a table in a file: { file = … }."""
    forbidden = ""
    if any(get_origin(argument) is tuple for argument in arguments):
        forbidden += ",["
    if any(isinstance(argument, type) and issubclass(argument, msgspec.Struct) for argument in arguments):
        forbidden += "{"
    if str not in arguments or not forbidden:
        return st.one_of(*(values(argument, meta) for argument in arguments))
    text = texts().filter(lambda text: not set(forbidden) & set(text))
    return st.one_of(text, *(values(argument, meta) for argument in arguments if argument is not str))


def _plain_values(kind: type, meta: msgspec.Meta | None) -> st.SearchStrategy[Any]:
    if issubclass(kind, StrEnum):
        return st.sampled_from([member.value for member in kind])
    if issubclass(kind, msgspec.Struct):
        return tables(kind)
    if kind is str and meta is not None and meta.pattern:
        printable = st.characters(min_codepoint=33, max_codepoint=126)
        return st.from_regex(meta.pattern, fullmatch=True, alphabet=printable)

    kinds: dict[type, st.SearchStrategy[Any]] = {
        str: texts(),
        bool: st.booleans(),
        int: st.integers(int((meta and meta.ge) or 0), int((meta and meta.le) or 1 << 40)),
        float: st.floats(0.5, 1e6),
        UUID: st.uuids().map(str),
    }

    return kinds[kind]


def _bounds(note: object) -> bool:
    return isinstance(note, msgspec.Meta) and any(
        bound is not None for bound in (note.pattern, note.ge, note.gt, note.le, note.min_length)
    )


def tables(
    table: type[msgspec.Struct], options: type[msgspec.Struct] | None = None, *, whole: bool = False
) -> st.SearchStrategy[dict[str, Any]]:
    """Tables with some of their keys, or with all."""
    known = {**fields(table), **(fields(options) if options else {})}
    required = {key: value_of(key, info) for key, info in known.items() if info.required or whole}
    optional = {key: value_of(key, info) for key, info in known.items() if key not in required}
    return st.fixed_dictionaries(required, optional=optional)


def value_of(key: str, info: msgspec.structs.FieldInfo) -> st.SearchStrategy[Any]:
    if key == "environment":
        return st.just(["PATH"])
    if key == "matrix":
        # One cell, as a recipe that is read as a whole has one.
        axis = st.lists(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+~-]{0,5}", fullmatch=True), min_size=1, max_size=1)
        return st.dictionaries(
            NAMES.filter(lambda name: name not in {"include", "exclude"}), axis, min_size=1, max_size=3
        )
    if key in KINDS and "typing.Any" in repr(info.type):
        one = st.sampled_from(list(contributions(key))).flatmap(lambda thing: contributed(key, thing))
        if key == "hand-over":
            return one
        several = st.lists(one, min_size=1, max_size=2)
        return {"sign": one | several}.get(key, several) if info.type is not bool else st.booleans()
    return values(info.type)


def contributions(key: str) -> Iterator[Contribution[Any]]:
    kind = KINDS[key]
    return (c for c in HOST.all(kind.hook) if issubclass(c.thing, kind.base))


def contributed(key: str, contribution: Contribution[Any], *, whole: bool = False) -> st.SearchStrategy[dict[str, Any]]:
    """A table of a kind that names this contribution, with some of its options, or all."""
    kind, name = KINDS[key], contribution.thing.name
    table = tables(kind.table, contribution.thing.Options, whole=whole)
    return table.map(lambda data: {**data, kind.key: name})


def read(directory: Path, name: str, text: str) -> Recipe:
    path = directory / name
    path.write_text(text)
    return load_recipe(path).recipe


def resolved(recipe: Recipe) -> dict[str, Any]:
    """A recipe with what the plugins make of their tables; one item and a list of it are one."""
    data = {field: getattr(recipe, field) for field in recipe.__struct_fields__}
    for key, kind in KINDS.items():
        field = key.replace("-", "_")
        given = data[field]
        tables = [given] if isinstance(given, dict) else given or []
        data[field] = [_read(kind, table) for table in tables]
    for profile in recipe.profile:
        assert all(_read(KINDS["firmware"], table) for table in profile.firmware)
    return _plain(data)


def _read(kind: Kind, table: dict[str, Any]) -> list[object]:
    own = read_plugin_table(table, kind.key, kind.table, kind.find, "there")
    return [kind.table.__name__, own.contribution.thing.name, own.table, own.options]


def _plain(data: Any) -> Any:  # noqa: ANN401 - any data
    if isinstance(data, msgspec.Struct):
        return {
            field.name: _one_or_many(getattr(data, field.name), field.type) for field in msgspec.structs.fields(data)
        }
    if isinstance(data, dict):
        return {key: _plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_plain(value) for value in data]
    return data


def _one_or_many(value: object, annotation: object) -> object:
    plain = _plain(value)
    alternatives = [
        get_origin(a) for a in get_args(get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation)
    ]
    return [plain] if tuple in alternatives and not isinstance(plain, list) else plain


def _differences(first: object, second: object, place: str = "") -> Iterator[str]:
    if isinstance(first, dict) and isinstance(second, dict) and first.keys() == second.keys():
        for key in first:
            yield from _differences(first[key], second[key], f"{place}.{key}")
    elif isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        for index, items in enumerate(zip(first, second, strict=True)):
            yield from _differences(*items, f"{place}[{index}]")
    elif first != second:
        yield f"{place}: {first!r}, not {second!r}"


def same_in_both(directory: Path, recipe: dict[str, Any]) -> None:
    """The recipe, as both forms of it are resolved."""
    from_toml = resolved(read(directory, "fuki.toml", as_toml(recipe)))
    from_section = resolved(read(directory, "other.conf", as_section(recipe)))
    assert list(_differences(from_section, from_toml)) == []


PLACES = [
    *(("fuki", key) for key in fields(Recipe) if key not in {"name", "image"}),
    *(("fuki.image", key) for key in fields(ImageTable)),
]


@pytest.mark.parametrize(("table", "key"), PLACES, ids=lambda name: name)
@settings(QUICK, max_examples=6)
@given(data=st.data())
def test_every_key_can_be_said_in_the_section(tmp_path_factory, table, key, data):
    directory = tmp_path_factory.getbasetemp()
    info = fields(Recipe if table == "fuki" else ImageTable)[key]
    value = data.draw(value_of(key, info))
    recipe = {**MINIMAL, key: value} if table == "fuki" else {**MINIMAL, "image": {**MINIMAL["image"], key: value}}
    same_in_both(directory, recipe)


NAMED = [(key, contribution.thing.name) for key in KINDS for contribution in contributions(key)]


@pytest.mark.parametrize(("key", "name"), NAMED, ids=lambda name: name)
@settings(QUICK, max_examples=4)
@given(data=st.data())
def test_every_key_of_a_plugins_table_can_be_said_in_the_section(tmp_path_factory, key, name, data):
    contribution = next(c for c in contributions(key) if c.thing.name == name)
    table = data.draw(contributed(key, contribution, whole=True))
    recipe = {**MINIMAL, key: table if key == "hand-over" else [table]}
    same_in_both(tmp_path_factory.getbasetemp(), recipe)


@settings(QUICK, max_examples=30)
@given(data=st.data())
def test_a_whole_recipe_is_the_same_in_both_forms(tmp_path_factory, data):
    known = {key: value_of(key, info) for key, info in fields(Recipe).items() if key not in {"image", "environment"}}
    name = known.pop("name")
    recipe = data.draw(st.fixed_dictionaries({"name": name, "image": tables(ImageTable)}, optional=known))
    same_in_both(tmp_path_factory.getbasetemp(), recipe)
