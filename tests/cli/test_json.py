"""Every document that a verb prints is as its schema says, on real images; and all verbs use the same words."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from fuki_build.cli.options import documents_of
from fuki_build.formats.document_schema import document_schema
from fuki_build.formats.documents import encode_json
from fuki_build.testing import refused, succeed
from fuki_build.testing.documents import complaints, printed, schema_of
from tests.docs import reference
from tests.formats.test_event_log import LOGS
from tests.support.rich import MANIFEST, UKI, make_rich

PREDICTIONS = """
[[fuki.output]]
format = "predictions"
path = "out/predictions.json"
banks = ["sha256", "sha384"]

[[fuki.output]]
format = "launch"
path = "out/launch.json"

[[fuki.launch]]
technology = ["sev-snp", "tdx"]
vcpu-model = ["EPYC-Milan"]

[[fuki.pcr-policy]]
backend = "local"
key = "keys/pcr.key"

[fuki.sign]
backend = "local"
key = "keys/db.key"
certificate = "keys/db.pem"
"""

CASES: dict[str, list[tuple[str, ...]]] = {
    "build": [("-o", "again.efi", "--only", "uki", "--json")],
    "check": [("--json",), (UKI, "--json")],
    "diff": [
        (UKI, "unsigned.efi", "--json"), (UKI, UKI, "--json"), ("stub", UKI, "--platform", "qemu", "--json"),
        ("--forbid", "signatures", UKI, "unsigned.efi", "--json"),
    ],
    "digests": [("unsigned.efi",), ("unsigned.efi", "--digest", "sha384")],
    "edit": [(UKI, "--set", ".cmdline=quiet", "-o", "edited.efi", "--json")],
    "firmware show": [(UKI, "--json"), ("two.fd", "--json"), ("initrd.img", "--json")],
    "firmware wrap": [("one.fd", "-o", "one.igvm", "--platform", "native", "--json")],
    "hwids decode": [(UKI, "--json"), (UKI, "--profile", "2", "--json")],
    "export reapi": [("plain.toml", "--json")],
    "inputs": [("--json",)],
    "inspect": [
        (UKI, "--json"), (UKI, "--digests", "--json"), ("out/acme.efi.extra.d/serial.addon.efi", "--json"),
        ("stub", "--json"), ("vmlinuz", "--json"), ("shim", "--json"),
    ],
    "keys generate": [("more-keys", "--pcr", "--json")],
    "launch": [
        (UKI, "--vcpu-model", "EPYC-Milan", "--direct-boot", "sections", "--json"),
        ("one.fd", "one.fd", "--technology", "sev-snp", "--vcpu-model", "EPYC", "--diff", "--json"),
    ],
    "machine show": [("acme.toml", "--json"), ("ids.toml", "--json")],
    "match": [
        (UKI, "--platform", "qemu", "--measured", "--json"),
        (UKI, "--expect", "qemu:q35=one", "--profile", "0", "--json"),
    ],
    "measure": [
        (UKI, "--platform", "qemu", "--events", "--json"), (UKI, "--rtmr", "--console", "", "--json"),
        (UKI, "--direct", "--options", "quiet", "--bank", "all", "--json"),
    ],
    "plan": [("--json",)],
    "plugins": [("--all", "--json"), ("--json",)],
    "release": [
        (UKI, UKI, "--allow", "version-not-newer", "--json"),
        (UKI, UKI, "--allow", "version-not-newer", "--platform", "qemu", "--bank", "all", "--json"),
    ],
    "verify": [
        (UKI, "--json"), (UKI, "--certificate", "keys/db.pem", "--json"), ("shim", "--json"), ("stub", "--json"),
    ],
}  # fmt: skip
"""What verbs of the core are run with; `replay` and the plugins' verbs have their own tests."""
ELSEWHERE = {
    "attest explain",
    "attest show",
    "attest verify",
    "boot",
    "hand-over status",
    "id-block attach",
    "id-block digests",
    "id-block make",
    "id-block verify",
    "replay",
}
MISMATCHES = {("verify", "stub"), ("launch", "two.fd"), ("diff", "--forbid")}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, part: Callable[[str], Path]) -> Path:
    """The rich recipe with signatures, PCR policies, predictions and launches, built."""
    directory = tmp_path_factory.mktemp("rich")
    for name, source in (("stub", "stub-x64"), ("vmlinuz", "kernel-x64"), ("shim", "shim")):
        (directory / name).symlink_to(part(source))
    (directory / "initrd.img").write_bytes(b"0707 no real one")
    (directory / "os-release").write_text("ID=acme\n")
    (directory / "acme.toml").write_text('[machine]\nmanufacturer = "Acme"\nproduct = "Rocket"\n')
    (directory / "ids.toml").write_text('[machine]\nchids = { 9 = "01e09b32-de05-56ca-b9d1-9486ad5f381d" }\n')
    recipe = make_rich(directory, part) / "fuki.toml"
    recipe.write_text(
        recipe.read_text().replace('version = "41.3"', 'version = "41.3"\nplugins = ["coco"]') + PREDICTIONS
    )

    (directory / "plain.toml").write_text('[fuki]\nname = "plain"\n[fuki.image]\nstub = "stub"\nlinux = "vmlinuz"\n')
    succeed(directory, "keys", "generate", "--pcr")
    succeed(directory, "build", "--unsigned", "--only", "uki", "-o", "unsigned.efi")
    succeed(directory, "build")
    return directory


def test_every_verb_that_prints_json_is_held_against_its_schema():
    assert {*reference.documents()} == {*CASES, *ELSEWHERE}


@pytest.mark.parametrize(
    ("verb", "arguments"), [(verb, arguments) for verb, cases in CASES.items() for arguments in cases]
)
def test_a_document_is_as_its_schema_says(built: Path, verb: str, arguments: tuple[str, ...]):
    code = 3 if (verb, arguments[0]) in MISMATCHES else 0
    document = printed(built, verb, *arguments, plugins=("coco",), code=code)
    assert next(iter(document)) == "version"


def test_documents_with_findings_and_mismatches_are_as_well(built: Path, tmp_path: Path):
    (tmp_path / "fuki.toml").write_text(
        f'[fuki]\nname = "a"\n[fuki.image]\nstub = "{built / "stub"}"\nlinux = "{built / "vmlinuz"}"\n'
    )
    assert printed(tmp_path, "check", "--json")["findings"]
    (missed,) = printed(built, "match", UKI, "--expect", "qemu:q35=two", "--profile", "0", "--json", code=3)["matches"]
    assert (missed["holds"], missed["firmware"]["fwid"]) == (False, "one")
    launches = printed(built, "launch", "one.fd", "two.fd", "--diff", "--json", plugins=("coco",), code=3)
    assert not all(difference["equal"] for difference in launches["differences"])


def test_documents_of_a_matrix_are_as_well(built: Path, tmp_path: Path):
    image = f'[fuki.image]\nstub = "{built / "stub"}"\nlinux = "{built}/{{{{ matrix.linux }}}}"\n'
    matrix = '[fuki.matrix.n.one]\nlinux = "vmlinuz"\n[fuki.matrix.n.two]\nlinux = "missing"\n'
    (tmp_path / "fuki.toml").write_text(f'[fuki]\nname = "a"\n{image}{matrix}')
    for verb in ("plan", "build", "check"):
        one, two = printed(tmp_path, verb, "--json", code=2)["cells"]
        assert (one["cell"], one["error"]) == ("n=one", None)
        assert "cannot open" in two["error"]["message"]
    assert [cell["id"] for cell in printed(tmp_path, "inputs", "--cell", "n=one", "--json")["cells"]] == ["n=one"]


def test_a_plugin_that_fails_is_in_its_document(built: Path):
    document = json.loads(succeed(built, "--plugin", "nowhere", "plugins", "--json").out)
    assert complaints(document, "plugins") == []
    failed = document["plugins"][-1]
    assert (failed["name"], failed["state"]) == ("nowhere", "failed")


@pytest.mark.parametrize(
    ("file", "verb"), [("out/predictions.json", "measure"), ("out/launch.json", "launch"), (MANIFEST, "build")]
)
def test_what_output_formats_write_is_what_verbs_print(built: Path, file: str, verb: str):
    document = json.loads((built / file).read_text())
    if verb == "build":
        document = {"version": 1, "artifacts": [], "build": document}
    assert complaints(document, verb, "coco") == []


@pytest.mark.parametrize("log", sorted(LOGS.glob("*.log")), ids=lambda path: path.stem)
def test_a_replay_is_as_its_schema_says(built: Path, log: Path):
    document = printed(built, "replay", log, "--json")
    assert document["events"]
    assert document["fit"] is None


def test_a_replay_that_is_held_against_an_image_is_as_well(built: Path):
    log = next(iter(sorted(LOGS.glob("*.log"))))
    document = printed(built, "replay", log, "--image", UKI, "--expect", f"4={'00' * 32}", "--json", code=3)
    assert document["fit"]["image"] == UKI
    assert (document["missing"], document["reasons"], document["expected"]) != ([], [], [])


@cache
def schemas() -> dict[str, dict[str, Any]]:
    return {
        verb: json.loads(encode_json(document_schema(*documents))) for verb, documents in reference.documents().items()
    }


def test_the_printed_schema_is_that_of_the_document():
    for verb in ("inspect", "launch", "machine show", "id-block make"):
        assert schema_of(verb, "coco") == schemas()[verb]


def test_schemas_are_valid_and_their_documents_have_versions():
    for verb, schema in schemas().items():
        Draft202012Validator.check_schema(schema)
        for root in schema.get("anyOf", [schema]):
            definition = schema["$defs"][root["$ref"].rpartition("/")[2]]
            assert definition["required"][0] == "version", verb


def test_verbs_use_one_word_for_one_thing():
    """An architecture is `arch`, hardware ids are `chids`, and what they select is a `fwid` or `compatible`."""
    fields: dict[str, set[str]] = {}
    for schema in schemas().values():
        for name, definition in schema["$defs"].items():
            for field in definition.get("properties", {}):
                fields.setdefault(field, set()).add(name)
    for other in ("architecture", "hwids", "slice", "release", "selects", "devicetree-compatible"):
        assert other not in fields
    assert fields["machine"] == {"BootDocument", "MatchView"}
    assert fields["key"] == {"MissingPolicy", "PolicyItem", "PolicyReport"}
    assert not [field for field in fields if field != field.lower() or "_" in field]


def test_a_verb_that_prints_no_json_has_no_schema(tmp_path: Path):
    assert "did you mean 'match'" in refused(tmp_path, "schema", "--of", "mach")
    assert "these do: " in refused(tmp_path, "schema", "--of", "report")


def test_the_page_on_hooks_shows_a_verb_whose_document_has_a_schema():
    page = (reference.REFERENCE / "hooks.md").read_text().partition("\n## Verbs\n")[2]
    names: dict[str, Any] = {"__name__": "greeting"}
    exec(page.partition("```python\n")[2].partition("```")[0], names)  # noqa: S102 - the page's own example
    verb = names["greet"]

    outcome = CliRunner().invoke(verb, ["world", "--json"])
    document = json.loads(outcome.stdout)
    assert document == {"version": 1, "addressed-to": "world"}
    Draft202012Validator(document_schema(*documents_of(verb))).validate(document)
