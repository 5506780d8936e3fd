"""`igvm` of a `[[fuki.firmware]]`, outputs of the format, and what is told of the firmware before a build."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from sevsnpmeasure.vcpu_types import CPU_SIGS

from fuki_build.formats.confidential import igvm
from fuki_build.formats.confidential.igvm import data_hobs
from fuki_build.formats.confidential.igvm.data_hobs import DataKind
from fuki_build.formats.reader import Reader
from fuki_build.formats.uefi import variable_store
from fuki_build.testing import invoke, refused, succeed
from fuki_build.testing.igvm import decode_pages
from fuki_build.testing.launch import peer_digest
from tests.conftest import RECIPE
from tests.support.workshop import workshop_recipe

NATIVE, SNP = 1, 2
HOB_AREA, DATA = 0x813000, 0x4000000  # Debian's edk2 2026.08, and our default
TABLE = """
[[fuki.firmware]]
source = "file"
path = "OVMF.fd"
id = "ovmf"
platforms = ["qemu"]
"""
UKI = '\n[[fuki.output]]\nformat = "uki"\n'


def write(wrapped: Path, wrapping: str, more: str = "", plugins: Sequence[str] = ()) -> None:
    (wrapped / "fuki.toml").write_text(workshop_recipe(f"{TABLE}{wrapping}\n{more}{UKI}", plugins=plugins))


pytestmark = pytest.mark.workshop(real={"OVMF.fd": "ovmf-generic"})


@pytest.fixture
def wrapped(workshop: Path) -> Path:
    """The workshop with a recipe whose firmware is wrapped."""
    write(workshop, "igvm = {}")
    return workshop


def payload(wrapped: Path) -> bytes:
    """The firmware in the built image."""
    succeed(wrapped, "inspect", "acme_41.3.efi", "--extract", ".efifw", "-o", "section")
    return (wrapped / "section").read_bytes()


def test_the_image_carries_what_the_verb_makes(wrapped: Path):
    succeed(wrapped, "build")
    succeed(wrapped, "firmware", "wrap", "OVMF.fd", "-o", "verb.igvm")
    assert payload(wrapped) == (wrapped / "verb.igvm").read_bytes()


def test_a_plan_shows_it_and_two_builds_are_alike(wrapped: Path):
    assert "IGVM" in succeed(wrapped, "plan").out
    succeed(wrapped, "build")
    first = (wrapped / "acme_41.3.efi").read_bytes()
    succeed(wrapped, "build")
    assert (wrapped / "acme_41.3.efi").read_bytes() == first


def test_the_manifest_tells_of_it(wrapped: Path):
    write(wrapped, "igvm = {}", '[[fuki.output]]\nformat = "manifest"\n')
    succeed(wrapped, "build")
    manifest = json.loads((wrapped / "acme_41.3.manifest.json").read_text())
    assert manifest["firmware"]["ovmf"] == {"igvm": "native, sev-snp", "source": "file"}
    assert "OVMF.fd" in {file["name"] for file in manifest["inputs"]}


def test_launches_follow_the_wrapped_firmware(wrapped: Path, part):
    more = '[[fuki.launch]]\ntechnology = "sev-snp"\n[[fuki.output]]\nformat = "launch"\n'
    write(wrapped, f"igvm = {{ cpu-signature = {CPU_SIGS['EPYC-Milan']} }}", more, ["coco"])
    succeed(wrapped, "build")
    (launch,) = json.loads((wrapped / "acme_41.3.launch.json").read_text())["launches"]
    assert launch["variant"] == "igvm"
    assert launch["digest"] == peer_digest("sev-snp", part("ovmf-generic"), "qemu", 1, "EPYC-Milan", 1)


def test_keys_are_enrolled_before_the_firmware_is_wrapped(wrapped: Path, part):
    succeed(wrapped, "keys", "generate", "--type", "p256")
    enroll = 'enroll = { pk = "keys/PK.pem", db = ["keys/db.pem"] }\nigvm = {}'
    write(wrapped, enroll, plugins=["virt-firmware"])
    (wrapped / "OVMF.fd").unlink()
    (wrapped / "OVMF.fd").symlink_to(part("ovmf-inteltdx"))
    succeed(wrapped, "build")
    firmware = b"".join(content for address, content in decode_pages(payload(wrapped), SNP) if address >= 0xFFC00000)
    variables = {variable.name for variable in variable_store.decode(Reader.of(firmware)) or ()}
    assert {"PK", "db"} <= variables


def test_keys_in_wrapped_firmware_that_ignores_them_are_found_as_in_bare_firmware(wrapped: Path):
    succeed(wrapped, "keys", "generate", "--type", "p256")
    enroll = 'enroll = { pk = "keys/PK.pem", db = ["keys/db.pem"] }'
    for wrapping in (enroll, f"{enroll}\nigvm = {{}}"):
        write(wrapped, wrapping, plugins=["virt-firmware"])
        rules = {f["rule"] for f in json.loads(invoke(wrapped, "check", "--json").out)["findings"]}
        assert "firmware-ignores-keys" in rules


DATA_KEYS = ", ".join(f'{{ kind = "{name}", file = "keys/{name}.auth" }}' for name in ("PK", "KEK", "db", "dbx"))


@pytest.fixture
def keys(wrapped: Path) -> Path:
    """The wrapped with PK, KEK, db and dbx as authenticated variables."""
    succeed(wrapped, "keys", "generate", "--type", "p256")
    sign = ("--key", "keys/KEK.key", "--certificate", "keys/KEK.pem")
    succeed(wrapped, "keys", "update", "dbx", "00" * 32, "-o", "keys/dbx.auth", *sign)
    return wrapped


def test_keys_go_into_the_guest_s_memory(keys: Path, part):
    (keys / "OVMF.fd").unlink()
    (keys / "OVMF.fd").symlink_to(part("ovmf-secboot"))
    write(keys, f'igvm = {{ platforms = ["sev-snp"], data = [{DATA_KEYS}] }}')
    succeed(keys, "build")
    by_address = dict(decode_pages(payload(keys), SNP))
    hobs = data_hobs.decode(by_address[HOB_AREA])
    assert [hob.kind for hob in hobs] == [0x100, 0x101, 0x102, 0x103]
    for hob, name in zip(hobs, ("PK", "KEK", "db", "dbx"), strict=True):
        assert by_address[hob.address].startswith((keys / f"keys/{name}.auth").read_bytes()[:4096])


def findings(wrapped: Path) -> dict[str, str]:
    outcome = invoke(wrapped, "check", "--json")
    return {f["rule"]: f["severity"] for f in json.loads(outcome.out)["findings"] if f["rule"].startswith("igvm-")}


@pytest.mark.parametrize(
    ("build", "wrapping", "expected"),
    [
        ("ovmf-generic", "{}", {}),
        ("ovmf-2022", "{}", {"igvm-no-metadata": "warning"}),
        ("ovmf-2025", "{}", {"igvm-no-metadata": "warning"}),
        ("ovmf-inteltdx", "{}", {"igvm-no-metadata": "warning"}),
        ("ovmf-secboot", "{}", {"igvm-needs-flash": "error"}),
        ("ovmf-secboot", '{ platforms = ["sev-snp"] }', {}),
        ("ovmf-secboot", f'{{ platforms = ["sev-snp"], data = [{DATA_KEYS}] }}', {}),
        ("ovmf-generic", f'{{ platforms = ["sev-snp"], data = [{DATA_KEYS}] }}', {"igvm-keys-ignored": "error"}),
        ("ovmf-generic", f'{{ platforms = ["native"], data = [{DATA_KEYS}] }}', {"igvm-keys-ignored": "error"}),
        (
            "ovmf-secboot",
            f"{{ data = [{DATA_KEYS}] }}",
            {"igvm-needs-flash": "error", "igvm-keys-confidential-only": "note"},
        ),
    ],
)
def test_what_the_firmware_lacks_is_told_before_a_build(
    keys: Path, part, build: str, wrapping: str, expected: dict[str, str]
):
    (keys / "OVMF.fd").unlink()
    (keys / "OVMF.fd").symlink_to(part(build))
    write(keys, f"igvm = {wrapping}")
    assert findings(keys) == expected


MISTAKES = {
    "{ platforms = [] }": ("fuki.firmware[0].igvm.platforms", "length"),
    '{ platforms = ["tdx"] }': ("fuki.firmware[0].igvm.platforms[0]", "tdx"),
    "{ polcy = 1 }": ("fuki.firmware[0].igvm.polcy", "policy"),
    "{ policy = -1 }": ("fuki.firmware[0].igvm.policy", ""),
    "{ policy = 18446744073709551616 }": ("", ""),
    '{ id-block = "none" }': ("fuki.firmware[0].igvm.id-block", "none.id-block"),
    '{ id-block = "short" }': ("fuki.firmware[0].igvm.id-block", "96 bytes"),
    '{ data = [{ kind = "kernel", file = "none" }] }': ("fuki.firmware[0].igvm.data[0].file", "none"),
    '{ data = [{ kind = "kernel", file = "os-release" }] }': ("fuki.firmware[0].igvm.data[0].file", "PE image"),
    '{ data = [{ kind = "linux", file = "vmlinuz" }] }': ("fuki.firmware[0].igvm.data[0].kind", "linux"),
    '{ data = [{ kind = "PK", file = "os-release" }] }': ("fuki.firmware[0].igvm.data", "KEK, db, dbx is missing"),
    '{ data = [{ kind = "shim", file = "stub" }, { kind = "shim", file = "stub" }] }': (
        "fuki.firmware[0].igvm.data[1].kind",
        "two data",
    ),
    '{ data = [{ kind = "kernel", file = "stub" }], data-address = 4096 }': ("fuki.firmware[0].igvm", "overwrite"),
}


@pytest.mark.parametrize("wrapping", MISTAKES)
def test_a_mistake_is_one_error_that_names_its_place(wrapped: Path, wrapping: str):
    (wrapped / "short.id-block").write_bytes(bytes(95))
    (wrapped / "short.id-auth").write_bytes(bytes(4096))
    write(wrapped, f"igvm = {wrapping}")
    error = refused(wrapped, "build")
    place, words = MISTAKES[wrapping]
    assert place in error
    assert words in error


def test_keys_that_are_not_authenticated_are_refused(keys: Path):
    write(keys, f"igvm = {{ data = [{DATA_KEYS.replace('KEK.auth', 'KEK.esl')}] }}")
    error = refused(keys, "build")
    assert "igvm.data[1].file" in error
    assert ".auth" in error


OUTPUT = '[[fuki.output]]\nformat = "igvm"\n'


@pytest.mark.parametrize("wrapping", ["igvm = {}", ""])
def test_an_output_is_the_firmware_s_file(wrapped: Path, wrapping: str):
    write(wrapped, wrapping, OUTPUT)
    succeed(wrapped, "build")
    succeed(wrapped, "firmware", "wrap", "OVMF.fd", "-o", "verb.igvm")
    assert (wrapped / "acme_41.3.igvm").read_bytes() == (wrapped / "verb.igvm").read_bytes()


@pytest.mark.parametrize("wrapping", ["igvm = { policy = 0xb0000 }", ""])
def test_an_output_carries_the_image_that_was_built(wrapped: Path, wrapping: str):
    write(wrapped, wrapping, OUTPUT + "uki = true\n")
    succeed(wrapped, "build")

    file = (wrapped / "acme_41.3.igvm").read_bytes()
    image = (wrapped / "acme_41.3.efi").read_bytes()
    for mask in (NATIVE, SNP):
        memory = dict(decode_pages(file, mask))
        assert data_hobs.decode(memory[HOB_AREA]) == ((DATA, len(image), DataKind.KERNEL, 0),)
        content = b"".join(memory[address] for address in range(DATA, DATA + len(image), 4096))
        assert content[: len(image)] == image

    decoded = igvm.decode(Reader.of(file))
    assert decoded is not None
    policy = 0xB0000 if wrapping else 0x30000
    assert [d.policy for d in decoded.directives if isinstance(d, igvm.GuestPolicy)] == [policy]


def test_an_output_is_a_partition(wrapped: Path):
    write(wrapped, "igvm = {}", OUTPUT + 'partition = true\npath = "part.raw"\n')
    succeed(wrapped, "build")
    image = (wrapped / "part.raw").read_bytes()
    size = int.from_bytes(image[:4], "little")
    assert image[4 : 4 + size] == payload(wrapped)
    assert len(image) % 4096 == 0
    assert not any(image[4 + size :])


def test_an_output_of_one_firmware_of_several(wrapped: Path, part):
    (wrapped / "old.fd").symlink_to(part("ovmf-2022"))
    second = TABLE.replace("OVMF.fd", "old.fd").replace('"ovmf"', '"old"').replace('["qemu"]', '["qemu:i440fx"]')
    first = TABLE.replace('["qemu"]', '["qemu:q35"]')
    recipe = RECIPE + first + second + OUTPUT
    (wrapped / "fuki.toml").write_text(recipe)
    assert "several firmware images: ovmf, old" in refused(wrapped, "build")
    (wrapped / "fuki.toml").write_text(recipe + 'firmware = "oldd"')
    assert "did you mean 'old'?" in refused(wrapped, "build")
    (wrapped / "fuki.toml").write_text(recipe + 'firmware = "old"')
    succeed(wrapped, "build")
    pages = decode_pages((wrapped / "acme_41.3.igvm").read_bytes(), NATIVE)

    assert b"".join(content for _, content in pages) == part("ovmf-2022").read_bytes()


def test_an_output_without_firmware_is_an_error(workshop: Path):
    (workshop / "fuki.toml").write_text(RECIPE + OUTPUT)
    assert "no firmware" in refused(workshop, "build")


def test_an_image_that_a_firmware_cannot_find_is_an_error(wrapped: Path, part):
    (wrapped / "OVMF.fd").unlink()
    (wrapped / "OVMF.fd").symlink_to(part("ovmf-2025"))
    write(wrapped, "igvm = {}", OUTPUT + "uki = true\n")
    assert "no place" in refused(wrapped, "build")
