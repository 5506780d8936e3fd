"""`[[fuki.launch]]`: a build that predicts what its guests measure."""

import base64
import json
from pathlib import Path

import cbor_diag
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from fuki_build.formats.confidential import id_block
from fuki_build.testing import install_plugin, refused, succeed
from fuki_build.testing.launch import peer_digest
from fuki_build.testing.memory_key import FILE_KEY_PLUGIN, memory_key
from fuki_build.testing.secure_boot import write_key
from tests.support.workshop import lay_out

LAUNCH = """
[[fuki.firmware]]
source = "directory"
path = "ovmf"
platforms = ["qemu"]

[[fuki.profile]]
id = "debug"
cmdline = "debug"

[[fuki.launch]]
technology = "sev-snp"
vcpus = [1, 2]
vcpu-model = "EPYC-Milan"
direct-boot = "sections"
policy = 0xb0000
"""


@pytest.fixture
def launching(workshop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The workshop with firmware, a launch and a key."""
    lay_out(workshop, real={"ovmf/OVMF.fd": "ovmf-generic"})
    monkeypatch.syspath_prepend(install_plugin(tmp_path / "site", "pem", FILE_KEY_PLUGIN))
    write_key(workshop / "key.pem", memory_key().private)
    write_key(workshop / "p256.pem", memory_key(ec.SECP256R1).private)
    write(workshop, LAUNCH)
    return workshop


def write(launching: Path, text: str) -> None:
    recipe = (launching / "fuki.toml").read_text().split('version = "41.3"\n')
    plugins = 'version = "41.3"\nplugins = ["coco", "pem"]\n'
    (launching / "fuki.toml").write_text(
        recipe[0] + plugins + recipe[-1].removeprefix('plugins = ["coco", "pem"]\n') + text
    )


def add(launching: Path, text: str) -> None:
    with (launching / "fuki.toml").open("a") as recipe:
        recipe.write(text)


def test_a_build_writes_the_digests_of_every_profile_and_number_of_vcpus(launching: Path, part):
    add(launching, '[[fuki.output]]\nformat = "launch"\n')
    succeed(launching, "build")
    document = json.loads((launching / "acme_41.3.launch.json").read_text())
    digests = {(row["boot"], row["vcpus"]): row["digest"] for row in document["launches"]}
    files = (str(launching / "vmlinuz"), str(launching / "initrd.img"))
    assert digests == {
        (boot, vcpus): peer_digest("sev-snp", part("ovmf-generic"), "qemu", vcpus, "EPYC-Milan", 1, *files, cmdline)
        for boot, cmdline in (("main", "root=LABEL=root ro"), ("debug", "debug"))
        for vcpus in (1, 2)
    }
    assert {row["policy"] for row in document["launches"]} == {0xB0000}


def test_the_whole_image_is_booted_as_it_was_written(launching: Path, part):
    recipe = (launching / "fuki.toml").read_text().replace('direct-boot = "sections"', 'direct-boot = "image"')
    (launching / "fuki.toml").write_text(
        recipe + '[[fuki.output]]\nformat = "uki"\n[[fuki.output]]\nformat = "launch"\n'
    )
    succeed(launching, "build")
    document = json.loads((launching / "acme_41.3.launch.json").read_text())
    kernel = str(launching / "acme_41.3.efi")
    assert [row["digest"] for row in document["launches"]] == [
        peer_digest("sev-snp", part("ovmf-generic"), "qemu", vcpus, "EPYC-Milan", 1, kernel) for vcpus in (1, 2)
    ]


def test_runtime_registers_of_a_build_are_those_of_the_image_that_it_wrote(launching: Path):
    recipe = (launching / "fuki.toml").read_text().replace('cmdline = "root', 'cmdline = "console=ttyS0 root')
    recipe = recipe.replace('technology = "sev-snp"', 'technology = "tdx"')
    recipe += 'boot-secret = false\n[[fuki.addon]]\nname = "more"\ncmdline = "more"\n'
    recipe += "".join(f'[[fuki.output]]\nformat = "{name}"\n' for name in ("uki", "addon", "launch"))
    (launching / "fuki.toml").write_text(recipe.replace('direct-boot = "sections"\n', ""))
    succeed(launching, "build")
    launches = json.loads((launching / "acme_41.3.launch.json").read_text())["launches"]
    addon = ("--addon", "acme_41.3.efi.extra.d/more.addon.efi")
    later = ("launch", "acme_41.3.efi", "--technology", "tdx", "--no-boot-secret", *addon, "--json")
    (row,) = [row for row in launches if row["boot"]]
    assert (row["register"], row["boot"]) == ("RTMR2", "disk@0")
    found = json.loads(succeed(launching, "--plugin", "coco", *later).out)["launches"]

    assert [other["digest"] for other in found if other["boot"]] == [row["digest"]]


def test_the_whole_image_need_not_be_an_output(launching: Path):
    recipe = (launching / "fuki.toml").read_text().replace('direct-boot = "sections"', 'direct-boot = "image"')
    (launching / "fuki.toml").write_text(recipe + '[[fuki.output]]\nformat = "launch"\n')
    succeed(launching, "build")
    alone = (launching / "acme_41.3.launch.json").read_text()
    succeed(launching, "build", "--only", "uki", "--only", "launch")
    assert (launching / "acme_41.3.launch.json").read_text() == alone


def test_each_consumer_gets_its_form(launching: Path):
    add(launching, "".join(f'[[fuki.output]]\nformat = "{name}"\n' for name in ("launch-rvps", "contrast", "corim")))
    succeed(launching, "build")
    message = json.loads((launching / "acme_41.3.launch.rvps.json").read_text())
    values = json.loads(base64.b64decode(message["payload"]))["snp_launch_measurement"]
    contrast = json.loads((launching / "acme_41.3.contrast.json").read_text())["ReferenceValues"]["snp"]
    assert [row["TrustedMeasurement"] for row in contrast] == values
    assert cbor_diag.cbor2diag((launching / "acme_41.3.corim").read_bytes()).startswith("501(")


def test_a_corim_is_signed_where_there_is_a_key(launching: Path):
    add(launching, '[[fuki.output]]\nformat = "corim"\nkey = { backend = "pem", key = "p256.pem" }\n')
    succeed(launching, "build")
    assert cbor_diag.cbor2diag((launching / "acme_41.3.corim").read_bytes()).startswith("18(")


def test_id_blocks_are_signed_for_every_digest_with_the_table_s_policy(launching: Path):
    add(launching, '[[fuki.output]]\nformat = "id-block"\nid-key = { backend = "pem", key = "key.pem" }\nsvn = 3\n')
    succeed(launching, "build")
    document = json.loads((launching / "acme_41.3.id-blocks.json").read_text())
    assert len(document["blocks"]) == 4
    for row in document["blocks"]:
        block = id_block.decode_block(base64.b64decode(row["id-block"]))
        assert (block.launch_digest.hex(), block.policy, block.svn) == (row["measurement"], 0xB0000, 3)


MISTAKES = {
    'technology = "snp"': ("fuki.launch[0].technology[0]", 2),
    'vmm = "kvm"': ("fuki.launch[0].vmm[0]", 2),
    "vcpus = 0": ("fuki.launch[0]", 2),
    'vcpu-model = "EPYC-Mailand"': ("fuki.launch[0]", 2),
    'platform = "nowhere"': ("fuki.launch[0].platform", 2),
    'firmware = "nope"': ("fuki.launch[0]", 2),
    'direct-boot = "disk"': ("fuki.launch[0].direct-boot", 2),
    'svsm = "missing"': ("fuki.launch[0].svsm", 2),
    "vcpu = 1": ("fuki.launch[0].vcpu", 2),
}  # fmt: skip


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_in_a_launch_is_found_at_its_place(launching: Path, line: str):
    where, code = MISTAKES[line]
    head = (launching / "fuki.toml").read_text().partition("[[fuki.launch]]")[0]
    (launching / "fuki.toml").write_text(f'{head}[[fuki.launch]]\n{line}\n[[fuki.output]]\nformat = "launch"\n')
    assert refused(launching, "build", code=code).startswith(f"fuki: error: {where}: ")


@pytest.mark.parametrize(
    ("output", "where", "code"),
    [
        ('format = "corim"\nkey = { backend = "pem", key = "nowhere" }', "fuki.output[0].key.key", 4),
        ('format = "corim"\nkey = { key = "key.pem" }', "fuki.output[0].key", 2),
        ('format = "corim"\nkey = { backend = "program" }', "fuki.output[0].key.backend", 4),
        ('format = "id-block"', "fuki.output[0]", 2),
    ],
)
def test_a_key_that_cannot_be_used_is_named_and_nothing_is_written(launching: Path, output: str, where: str, code: int):
    add(launching, f"[[fuki.output]]\n{output}\n")
    assert refused(launching, "build", code=code).startswith(f"fuki: error: {where}: ")


@pytest.mark.parametrize("name", ["launch", "launch-rvps", "contrast", "corim"])
def test_an_output_of_launches_needs_a_launch(launching: Path, name: str):
    head = (launching / "fuki.toml").read_text().partition("[[fuki.launch]]")[0]
    (launching / "fuki.toml").write_text(f'{head}[[fuki.output]]\nformat = "{name}"\n')
    assert "[[fuki.launch]]" in refused(launching, "build")


def test_a_launch_without_a_plugin_that_predicts_is_refused(workshop: Path):
    (workshop / "fuki.toml").write_text((workshop / "fuki.toml").read_text() + "[[fuki.launch]]\n")
    assert 'plugins = ["coco"]' in refused(workshop, "build")


MKOSI = """\
[Fuki]
Name=acme
Plugins=coco
Stub=stub
Linux=vmlinuz
OsRelease=os-release
Firmware=source=directory path=ovmf platforms=qemu
Launch=technology=sev-snp,tdx vcpus=1,2 vcpu-model=EPYC-Milan guest-features=0x1,0x21 policy=0xb0000
Output=format=launch
"""


def test_a_launch_is_a_line_in_mkosi_conf(launching: Path, part):
    (launching / "mkosi.conf").write_text(MKOSI)
    succeed(launching, "build", "mkosi.conf")
    document = json.loads((launching / "acme.launch.json").read_text())
    digests = {(row["vcpus"], row["guest-features"]): row["digest"] for row in document["launches"] if row["vcpus"]}
    assert digests == {
        (vcpus, features): peer_digest("sev-snp", part("ovmf-generic"), "qemu", vcpus, "EPYC-Milan", features)
        for vcpus in (1, 2)
        for features in (0x1, 0x21)
    }
    assert {row["policy"] for row in document["launches"]} == {0xB0000}


@pytest.mark.parametrize("line", ["vcpus=many", "policy=0xlax", "policy=" + "9" * 30, "vcpus=-1"])
def test_a_number_that_is_none_is_refused(launching: Path, line: str):
    (launching / "mkosi.conf").write_text(MKOSI.replace("vcpus=1,2", line).replace(" policy=0xb0000", "", 1))
    assert "fuki.launch[0]" in refused(launching, "build", "mkosi.conf")
