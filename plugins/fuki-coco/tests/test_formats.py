"""`fuki launch --format`: reference values of finished images, with filters as in recipes' outputs.

CoRIMs are held against the schema of draft-ietf-rats-corim by a library for CDDL.
"""

import base64
import json
import sys
from pathlib import Path
from typing import Any

import cbor2
import parts
import pytest
from fuki_build.testing import install_plugin, recipe, refused, succeed
from fuki_build.testing.secure_boot import make_key, write_key
from regopy import Interpreter

IMAGE = "acme_41.3.efi"
FUKI = ("--plugin", "coco", "--plugin", "virt")
RECIPE = """
[[fuki.firmware]]
source = "file"
path = "OVMF.fd"
id = "ovmf"
platforms = ["qemu:q35"]
[[fuki.profile]]
id = "other"
cmdline = "other"
[[fuki.profile.firmware]]
source = "file"
path = "other.fd"
id = "newer"
platforms = ["qemu:q35"]
"""
OUTPUTS = """
[[fuki.launch]]
technology = ["sev-snp"]
vmm = ["qemu"]
vcpu-model = ["EPYC-Milan"]
direct-boot = "sections"
[[fuki.output]]
format = "uki"
[[fuki.output]]
format = "launch"
profiles = ["other"]
firmware = ["new*"]
[[fuki.output]]
format = "corim"
machines = ["QEMU q35"]
"""
CORIM = """
corim = #6.501({
  &(id: 0) => tstr,
  &(tags: 1) => [+ #6.506(bytes .cbor comid)],
})
comid = {
  &(tag-identity: 1) => { &(tag-id: 0) => tstr },
  &(triples: 4) => { &(reference-triples: 0) => [+ reference-triple] },
}
reference-triple = [environment, [+ measurement]]
environment = { &(class: 0) => { &(vendor: 1) => tstr, &(model: 2) => tstr } }
measurement = { ? &(mkey: 0) => tstr, &(mval: 1) => values }
values = {
  ? &(digests: 2) => [+ digest],
  ? &(name: 11) => tstr,
  ? &(integrity-registers: 14) => { + uint => [+ digest] },
}
digest = [algorithm: int, value: bstr]
"""
"""What a CoRIM with reference values may have, by the names and keys of the draft; all else of it is left out here."""
LAUNCH = ("--technology", "sev-snp", "--vmm", "qemu", "--vcpu-model", "EPYC-Milan", "--direct-boot", "sections")


with_cddl = pytest.mark.skipif(sys.version_info >= (3, 14), reason="the library for CDDL is not built for it")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """An image with firmware for all profiles, and newer one for one of them."""
    place = tmp_path / "place"
    place.mkdir()
    for name, part in (("stub", "stub-x64"), ("vmlinuz", "kernel-x64")):
        (place / name).symlink_to(parts.get(part))
    firmware = parts.get("ovmf-generic").read_bytes()
    (place / "OVMF.fd").write_bytes(firmware)
    # A byte of the volume that holds variables: other firmware, of which all tables are where they were.
    (place / "other.fd").write_bytes(b"\1" + firmware[1:])
    text = recipe(RECIPE + OUTPUTS, version="41.3", plugins=["coco", "virt"], cmdline="root=LABEL=root")
    (place / "fuki.toml").write_text(text)
    succeed(place, "build")
    return place


def launches(directory: Path, *arguments: str) -> set[tuple[str, str]]:
    """Firmware and boot of the launches that the verb tells, which a format of it tells as well."""
    verb = ["launch", IMAGE, *LAUNCH, *arguments]
    told, written = (succeed(directory, *FUKI, *verb, *way).out for way in (["--json"], ["--format", "launch"]))
    assert json.loads(told)["launches"] == json.loads(written)["launches"]
    return {(row["firmware"], row["boot"]) for row in json.loads(told)["launches"]}


def test_filters_leave_the_launches_that_are_asked_for(directory):
    assert launches(directory) == {("ovmf", "main"), ("ovmf", "other"), ("newer", "other")}
    assert launches(directory, "--profile", "main") == {("ovmf", "main")}
    assert launches(directory, "--profile", "other", "--firmware", "n*") == {("newer", "other")}


def test_outputs_of_recipes_have_the_filters(directory):
    rows = json.loads((directory / "acme_41.3.launch.json").read_text())["launches"]
    assert {(row["firmware"], row["boot"]) for row in rows} == {("newer", "other")}
    told = succeed(
        directory, *FUKI, "launch", IMAGE, *LAUNCH, "--profile", "other", "--firmware", "newer", "--json"
    ).out
    assert json.loads(told)["launches"] == rows


def check_corim(data: bytes) -> list[Any]:
    """The triples of a CoRIM that is as its schema has it."""
    import pycddl  # noqa: PLC0415 - not built for each Python

    pycddl.Schema(CORIM).validate_cbor(data)
    (tag,) = cbor2.loads(data).value[1]
    return list(cbor2.loads(tag.value)[4][0])


@with_cddl
def test_a_corim_of_the_verb_is_as_its_schema_has_it(directory):
    succeed(directory, *FUKI, "launch", IMAGE, *LAUNCH, "--format", "corim", "--output", "image.corim")
    triples = check_corim((directory / "image.corim").read_bytes())
    told = json.loads(succeed(directory, *FUKI, "launch", IMAGE, *LAUNCH, "--json").out)["launches"]
    assert [triple[1][0][1][2][0][1].hex() for triple in triples] == [row["digest"] for row in told]


@with_cddl
def test_a_corim_of_a_recipe_has_what_the_machines_select(directory):
    """Profile main selects the base's firmware, the other its own."""
    triples = check_corim((directory / "acme_41.3.corim").read_bytes())
    names = [triple[1][0][1][11] for triple in triples]
    assert {name.partition(",")[0] for name in names} == {"ovmf", "newer"}


@with_cddl
@pytest.mark.parametrize("damage", [{0: 1}, {1: []}, {1: ["text"]}])
def test_the_schema_refuses_what_is_no_corim(damage):
    corim = cbor2.dumps(cbor2.CBORTag(501, {0: "name", 1: [cbor2.CBORTag(506, b"\xa0")], **damage}))
    with pytest.raises(Exception, match="error validating"):
        check_corim(corim)


POLICY = """
package policy
import rego.v1
default executables := 33
executables := 3 if input.snp.evidence.measurement in data.reference.snp_launch_measurement
"""
"""As Trustee's policies ask for reference values; 3 and 33 are its words for known and for unknown executables."""


def trustee(message: dict[str, str], measurement: str) -> int:
    """Trustee's claim about executables of a guest with this measurement, by an interpreter of Rego."""
    rego = Interpreter()
    rego.add_module("policy.rego", POLICY)
    rego.add_data({"reference": json.loads(base64.b64decode(message["payload"]))})
    rego.set_input({"snp": {"evidence": {"measurement": measurement}}})
    return int(json.loads(str(rego.query("data.policy.executables")))["expressions"][0])


def test_trustees_policy_knows_the_launches_that_are_left_and_no_others(directory):
    verb = ["launch", IMAGE, *LAUNCH]
    message = json.loads(succeed(directory, *FUKI, *verb, "--format", "launch-rvps", "--firmware", "newer").out)
    told = json.loads(succeed(directory, *FUKI, *verb, "--json").out)["launches"]
    claims = {row["firmware"]: trustee(message, row["digest"]) for row in told}
    assert claims == {"newer": 3, "ovmf": 33}


def test_a_format_is_given_a_key(directory):
    write_key(directory / "id.key", make_key("p384"))
    verb = ["launch", IMAGE, *LAUNCH, "--format", "id-block"]
    told = json.loads(succeed(directory, *FUKI, *verb, "--set", 'id-key={ backend = "local", key = "id.key" }').out)
    assert {block["firmware"] for block in told["blocks"]} == {"ovmf", "newer"}
    assert "give it with --set id-key=…" in refused(directory, *FUKI, *verb)
    missing = '--set=id-key={ backend = "local", key = "none" }'
    assert "--set id-key" in refused(directory, *FUKI, *verb, missing, code=4)


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["launch", "OVMF.fd", "--format", "corim"], 2, "OVMF.fd: a format tells of a UKI"),
        (["launch", IMAGE, "--firmware", "x"], 2, "the image has no firmware that was asked for"),
        (["launch", IMAGE, "--profile", "x"], 2, "there is no profile 'x'"),
        (["launch", IMAGE, "--format", "corin"], 2, "--format: there is no output format 'corin'"),
        (["measure", IMAGE, "--format", "corim"], 2, "'fuki launch IMAGE --format' tells"),
    ],
)
def test_a_mistake_is_one_error(arguments, code, expected, directory):
    assert expected in refused(directory, *FUKI, *arguments, code=code)


def test_firmware_that_machines_select_is_chosen_by_their_files(directory):
    (directory / "q35.toml").write_text('[machine]\nname = "q35"\nmanufacturer = "QEMU"\nproduct = "none"\n')
    error = refused(directory, *FUKI, "launch", IMAGE, *LAUNCH, "--machine", "q35.toml")
    assert "the image has no firmware that was asked for" in error


def test_a_plugin_tells_of_launches_from_the_command_line(directory, tmp_path, monkeypatch):
    source = r"""
    from fuki_build.hooks import LaunchFormat, hookimpl

    class Digests(LaunchFormat):
        '''Digests, a line each.'''
        name = "digests"

        def emit(self, options, build, context):
            records = self.launches(options, build)
            lines = [digest.digest for record in records for digest in record.prediction.digests]
            context.write(context.path, "".join(line + "\n" for line in lines).encode())

    @hookimpl
    def fuki_outputs():
        return [Digests]
    """
    monkeypatch.syspath_prepend(install_plugin(tmp_path / "site", "launch-digests", source))
    rows = json.loads((directory / "acme_41.3.launch.json").read_text())["launches"]
    told = succeed(
        directory, *FUKI, "--plugin", "launch-digests", "launch", IMAGE, *LAUNCH, "--format=digests", "--firmware=newer"
    )
    assert told.out.split() == [row["digest"] for row in rows]
