"""The reference says what the program does."""

import re

import pytest
from fuki_coco.id_blocks import IdBlocksDocument

import fuki_build.hooks
from fuki_build import Machine
from fuki_build.builtin.outputs import ManifestDocument
from fuki_build.formats.document_schema import document_schema
from fuki_build.hooks.contract import HOOKS
from fuki_build.recipe import model
from tests.docs import reference, type_page
from tests.docs.pages import CHECKOUT


def test_the_generated_parts_are_up_to_date():
    assert not list(reference.stale()), "run: python tests/docs/reference.py"


def test_every_table_of_the_recipe_is_on_the_page():
    text = (reference.REFERENCE / "recipe.md").read_text()
    tables = {name for name, thing in vars(model).items() if isinstance(thing, type) and issubclass(thing, model.Table)}
    shown = set(re.findall(r"<!-- generated: keys (\w+)", text))
    assert shown == tables - {"Table", "TextFile", "InlineText", "MatrixPart"}


@pytest.mark.parametrize("hook", ["fuki_firmware_sources", "fuki_outputs", "fuki_signers"])
def test_every_built_in_choice_of_the_recipe_is_on_the_page(hook: str):
    text = (reference.REFERENCE / "recipe.md").read_text()
    shown = re.findall(rf"<!-- generated: options {hook} ([\w-]+)", text)
    assert sorted(shown) == reference.pipeline.new_host().names(hook)


def fields_on_the_page() -> dict[str, list[str]]:
    """The fields of each struct that the page on JSON has tables of; of one in several tables, of all of these."""
    fields: dict[str, list[str]] = {}
    page = (reference.REFERENCE / "json.md").read_text()
    for names, table in re.findall(r"<!-- fields: ([\w ]+) -->\n((?:\|.*\n)+)", page):
        rows = [re.findall(r"`([\w-]+)`", row.split("|")[1]) for row in table.splitlines()[2:]]
        for name in names.split():
            fields.setdefault(name, []).extend(field for row in rows for field in row)
    return fields


def fields_of_documents() -> dict[str, list[str]]:
    """The fields of every struct in what verbs print, and in what output formats of this checkout write."""
    kinds = [document for documents in reference.documents().values() for document in documents]
    definitions = document_schema(*dict.fromkeys([*kinds, ManifestDocument, IdBlocksDocument]))["$defs"]
    return {name: list(table["properties"]) for name, table in definitions.items() if "properties" in table}


def test_every_part_of_every_document_is_on_the_page_with_its_fields():
    shown, real = fields_on_the_page(), fields_of_documents()
    assert {name: sorted(fields) for name, fields in shown.items()} == {
        name: sorted(fields) for name, fields in real.items()
    }


def test_the_keys_of_a_machine_file_are_those_on_the_page():
    text = (reference.REFERENCE / "recipe.md").read_text().partition("## Machine files")[2].partition("\n## ")[0]
    shown = re.findall(r"(?m)^\| `([\w-]+)` \|", text)
    assert shown == [field.replace("_", "-") for field in Machine.__struct_fields__]


def test_every_platform_of_this_checkout_is_explained():
    text = (reference.REFERENCE / "platforms.md").read_text().partition("<!-- end -->")[2]
    host = reference.pipeline.new_host(reference.first_party())
    assert [name for name in host.names("fuki_platforms") if f"`{name}`" not in text] == []


def test_every_hook_is_on_the_page_with_what_picks_it():
    text = (reference.REFERENCE / "hooks.md").read_text().partition("## Records")[0]
    for hook in HOOKS:
        assert text.count(f"| `{hook}` |") == 2


def test_every_record_of_the_hooks_is_on_the_page():
    text = (reference.REFERENCE / "hooks.md").read_text()
    assert [name for name in fuki_build.hooks.__all__ if f"`{name}`" not in text and name != "hookimpl"] == []


def test_every_class_that_plugins_see_is_on_the_page_of_types_once():
    names = [name for group in type_page.GROUPS.values() for name in group]
    assert sorted(names) == sorted(type_page.public_classes())
    text = (reference.REFERENCE / "plugin-types.md").read_text()
    assert re.findall(r"(?m)^### (\w+)$", text) == names


def test_no_member_that_is_left_out_is_misspelled():
    for name, members in type_page.NOT_PROMISED.items():
        assert all(hasattr(getattr(fuki_build.hooks, name), re.split(r"[`(]", member)[1]) for member in members)


def test_every_page_of_the_documentation_is_in_its_index():
    index = (CHECKOUT / "docs" / "index.md").read_text()
    pages = (path.relative_to(CHECKOUT / "docs").as_posix() for path in (CHECKOUT / "docs").glob("**/*.md"))
    assert [page for page in pages if f"]({page})" not in index and page != "index.md"] == []
