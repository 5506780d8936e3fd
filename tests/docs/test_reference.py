"""The reference says what the program does."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

import fuki_build.hooks
from fuki_build import Machine
from fuki_build.formats.asn1 import x509
from fuki_build.hooks.host import HOOKS
from fuki_build.image import describe
from fuki_build.recipe import model
from fuki_build.signing.authenticode import offline, verify
from fuki_build.signing.pcr_policy import report
from tests.docs import reference
from tests.docs.pages import CHECKOUT

Printed = Callable[..., dict[str, Any]]


def test_the_generated_parts_are_up_to_date():
    assert not list(reference.stale()), "run: python tests/docs/reference.py"


def test_every_table_of_the_recipe_is_on_the_page():
    text = (reference.REFERENCE / "recipe.md").read_text()
    tables = {name for name, thing in vars(model).items() if isinstance(thing, type) and issubclass(thing, model.Table)}
    shown = set(re.findall(r"<!-- generated: keys (\w+)", text))
    assert shown == tables - {"Table", "TextFile", "InlineText"}


@pytest.mark.parametrize("hook", ["fuki_firmware_sources", "fuki_outputs", "fuki_signers"])
def test_every_built_in_choice_of_the_recipe_is_on_the_page(hook: str):
    text = (reference.REFERENCE / "recipe.md").read_text()
    shown = re.findall(rf"<!-- generated: options {hook} ([\w-]+)", text)
    assert sorted(shown) == reference.pipeline.new_host().names(hook)


def tables() -> dict[str, list[str]]:
    """The fields under each heading of the page on JSON."""
    found: dict[str, list[str]] = {}
    heading = ""
    for line in (reference.REFERENCE / "json.md").read_text().splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        row = re.match(r"\| `([\w-]+)` \|", line)
        if row:
            found.setdefault(heading, []).append(row[1])
    return found


@pytest.mark.parametrize(
    ("heading", "view"),
    [
        ("Image", describe.LayoutView),
        ("Stub", describe.StubView),
        ("Profile", describe.ProfileView),
        ("Section", describe.SectionView),
        ("Firmware", describe.FirmwareView),
        ("Device", describe.DeviceView),
        ("Signature", describe.SignatureView),
        ("Report", verify.ImageReport),
        ("Signature report", verify.SignatureReport),
        ("Certificate", x509.CertificateFacts),
        ("Policy report", report.PolicyReport),
        ("Policy place", report.PolicyPlace),
        ("Missing policy", report.MissingPolicy),
        ("Digests", offline.SigningDocument),
    ],
)
def test_the_fields_of_an_image_are_those_on_the_page(heading: str, view: type[msgspec.Struct]):
    assert sorted(tables()[heading]) == sorted(field.encode_name for field in msgspec.structs.fields(view))


def test_the_fields_of_a_digest_are_those_on_the_page():
    structs = (offline.ImageItem, offline.PolicyItem)
    fields = {field.encode_name for item in structs for field in msgspec.structs.fields(item)}
    assert sorted(tables()["Digest"]) == sorted(["purpose", *fields])


@pytest.fixture
def printed(fuki: Callable[..., subprocess.CompletedProcess[str]]) -> Printed:
    def printed(*arguments: str) -> dict[str, Any]:
        return json.loads(fuki(*arguments, "--json").stdout)

    return printed


def test_the_fields_of_a_plan_are_those_on_the_page(printed: Printed):
    assert sorted(printed("plan")) == sorted(tables()["Plan"])


def test_the_fields_of_a_finding_are_those_on_the_page(printed: Printed, workshop: Path):
    recipe = workshop / "fuki.toml"
    recipe.write_text(recipe.read_text().replace('os-release = "os-release"', ""))
    (finding,) = printed("check")["findings"]
    assert sorted(finding) == sorted(tables()["Finding"])


def test_the_fields_of_a_build_are_those_on_the_page(printed: Printed):
    built = printed("build")
    assert sorted(built) == sorted(tables()["Build"])
    assert sorted(built["artifacts"][0]) == sorted(tables()["Artifact"])
    assert sorted(built["build"]) == sorted(tables()["Manifest"])
    assert sorted(built["build"]["inputs"][0]) == sorted(tables()["Input"])


def test_the_fields_of_a_verification_are_those_on_the_page(printed: Printed, part: Callable[[str], Path]):
    assert sorted(printed("verify", str(part("shim")))) == sorted(tables()["Verify"])


def test_the_fields_of_a_plugin_are_those_on_the_page(printed: Printed):
    listed = printed("plugins")
    assert sorted(listed) == ["plugins", "version"]
    assert sorted(listed["plugins"][0]) == sorted(tables()["Plugins"])


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    path = tmp_path / "acme.toml"
    path.write_text('[machine]\nmanufacturer = "Acme"\n')
    return path


def test_the_fields_of_a_machine_are_those_on_the_page(printed: Printed, machine: Path):
    shown = printed("machine", "show", str(machine))
    assert sorted(shown) == sorted(tables()["Machine"])
    assert sorted(shown["chids"][0]) == sorted(tables()["Machine id"])


@pytest.fixture
def image(printed: Printed, workshop: Path, part: Callable[[str], Path]) -> Path:
    """An image with one firmware."""
    source = f'source = "file"\nid = "ovmf"\npath = "{part("ovmf-generic")}"\nplatforms = ["qemu:q35"]\n'
    with (workshop / "fuki.toml").open("a") as recipe:
        recipe.write(f"\n[[fuki.firmware]]\n{source}")
    return workshop / printed("build")["artifacts"][0]["path"]


def test_the_fields_of_a_match_are_those_on_the_page(printed: Printed, image: Path):
    (match,) = printed("match", str(image), "--platform", "qemu:q35")["matches"]
    assert sorted(match) == sorted(tables()["Match"])
    assert sorted(match["firmware"]) == sorted(tables()["Hit"])
    assert sorted(match["measured"][0]) == sorted(tables()["Measured"])


def test_the_fields_of_a_hardware_id_table_are_those_on_the_page(printed: Printed, image: Path):
    (device,) = printed("hwids", "decode", str(image))["devices"]
    assert sorted([*device, "compatible"]) == sorted(tables()["Hardware ids"])


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


def test_every_page_of_the_documentation_is_in_its_index():
    index = (CHECKOUT / "docs" / "index.md").read_text()
    pages = (path.relative_to(CHECKOUT / "docs").as_posix() for path in (CHECKOUT / "docs").glob("**/*.md"))
    assert [page for page in pages if f"]({page})" not in index and page != "index.md"] == []
