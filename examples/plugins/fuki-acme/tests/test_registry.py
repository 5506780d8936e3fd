import json

import pytest

from conftest import REPOSITORY
from fuki_build.testing import recipe, refused, succeed

FIRMWARE = """
[[fuki.firmware]]
source = "acme-registry"
registry = "{registry}"
repository = "{repository}"
digest = "{digest}"
platforms = ["acme"]
"""


@pytest.fixture
def write_recipe(directory, registry):
    def write_recipe(digest):
        table = FIRMWARE.format(registry=registry.address, repository=REPOSITORY, digest=digest)
        (directory / "fuki.toml").write_text(recipe(table, plugins=["acme"], uname="6.12.0"))

    return write_recipe


def test_acme_s_machines_select_what_the_registry_has(directory, registry, write_recipe):
    write_recipe(registry.push_firmware((directory / "firmware.fd").read_bytes()))
    succeed(directory, "build", "-o", "image.efi")
    arguments = ("--plugin", "acme", "match", "image.efi", "--platform", "acme", "--json")
    (match,) = json.loads(succeed(directory, *arguments).out)["matches"]
    assert match["firmware"]["fwid"] == "guest"


def test_a_second_plan_asks_nobody(directory, registry, write_recipe):
    write_recipe(registry.push_firmware((directory / "firmware.fd").read_bytes()))
    succeed(directory, "plan")
    assert len(registry.requests) == 2
    succeed(directory, "plan")
    succeed(directory, "build", "-o", "image.efi")
    assert len(registry.requests) == 2


def test_a_registry_that_gives_something_else_is_not_believed(directory, registry, write_recipe):
    write_recipe(registry.push_firmware((directory / "firmware.fd").read_bytes()))
    for path in registry.content:
        if "/blobs/" in path:
            registry.content[path] = b"malware"
    assert "expected is" in refused(directory, "build")


@pytest.mark.parametrize(
    ("digest", "option", "code"),
    [("latest", "digest", 2), (f"sha256:{'0' * 64}", "registry", 1)],
)
def test_what_cannot_be_had_is_refused_with_its_place(directory, write_recipe, digest, option, code):
    write_recipe(digest)
    assert f"fuki.firmware[0].{option}" in refused(directory, "plan", code=code)


@pytest.mark.parametrize("manifest", [b"", b"[]", b'{"layers": [{}]}', b"[" * 100_000])
def test_what_is_no_manifest_is_refused(directory, registry, write_recipe, manifest):
    write_recipe(registry.push("manifests", manifest))
    assert "is no manifest" in refused(directory, "plan", code=1)


def test_an_artifact_with_two_layers_of_firmware_is_refused(directory, registry, write_recipe):
    write_recipe(registry.push_firmware((directory / "firmware.fd").read_bytes(), layers=2))
    assert "2 layers of firmware" in refused(directory, "plan", code=1)
