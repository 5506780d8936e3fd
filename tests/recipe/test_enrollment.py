"""`enroll` of a `[[fuki.firmware]]`: what gets into the image, and every mistake."""

import hashlib
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from fuki_build.formats.reader import Reader
from fuki_build.formats.uefi import variable_store
from fuki_build.testing import invoke, refused, succeed
from tests.conftest import RECIPE
from tests.support.workshop import lay_out, workshop_recipe

OWNER = "77fa9abd-0359-4d32-bd60-28f4e78f784b"
FIRMWARE = '[[fuki.firmware]]\nsource = "directory"\npath = "fw"\nplatforms = ["qemu"]\n'
KEYS = 'pk = "keys/PK.pem", kek = ["keys/KEK.pem"], db = ["keys/db.pem"]'


def recipe(enroll: str, firmware: str = FIRMWARE, plugins: Sequence[str] = ("virt-firmware",)) -> str:
    outputs = '[[fuki.output]]\nformat = "uki"\n[[fuki.output]]\nformat = "manifest"\n'
    return workshop_recipe(f"{firmware}enroll = {enroll}\n{outputs}", plugins=plugins)


pytestmark = pytest.mark.workshop(real={"fw/OVMF.fd": "ovmf-inteltdx"})


@pytest.fixture
def enrolling(workshop: Path) -> Path:
    """The workshop with keys of a tenant, and a recipe that enrolls them."""
    succeed(workshop, "keys", "generate", "--type", "p256", "--owner", OWNER)
    return lay_out(workshop, recipe=recipe(f"{{ {KEYS}, owner = '{OWNER}' }}"))


def payload(enrolling: Path, section: str = ".efifw") -> bytes:
    succeed(enrolling, "inspect", "acme_41.3.efi", "--extract", section, "-o", "section")
    data = (enrolling / "section").read_bytes()
    at = int.from_bytes(data[4:8], "little") + int.from_bytes(data[8:12], "little")
    return data[at:]


def values(data: bytes) -> dict[str, bytes]:
    return {variable.name: variable.data for variable in variable_store.decode(Reader.of(data)) or ()}


def test_firmware_in_another_image_takes_keys_as_a_file_does(enrolling):
    succeed(enrolling, "build")
    expected = payload(enrolling)
    (enrolling / "other.toml").write_text(RECIPE + FIRMWARE)
    succeed(enrolling, "build", "other.toml", "-o", "other.efi", "--only", "uki")
    source = '[[fuki.firmware]]\nsource = "file"\nid = "fw"\npath = "other.efi:.efifw:fw"\nplatforms = ["qemu"]\n'
    (enrolling / "fuki.toml").write_text(recipe(f"{{ {KEYS}, owner = '{OWNER}' }}", source))
    succeed(enrolling, "build", "--depfile", "deps")
    assert payload(enrolling) == expected
    assert "other.efi" in (enrolling / "deps").read_text()


def test_the_image_carries_the_firmware_with_the_keys_in_it(enrolling, part):
    succeed(enrolling, "build")
    firmware = payload(enrolling)
    assert len(firmware) == part("ovmf-inteltdx").stat().st_size
    for name in ("PK", "KEK", "db"):
        assert values(firmware)[name] == (enrolling / f"keys/{name}.esl").read_bytes()


def test_it_is_what_the_verb_makes(enrolling):
    succeed(enrolling, "build")
    options = ("--pk", "keys/PK.pem", "--kek", "keys/KEK.pem", "--db", "keys/db.pem", "--owner", OWNER)
    succeed(enrolling, "--plugin", "virt-firmware", "keys", "enroll", "fw/OVMF.fd", "-o", "enrolled.fd", *options)
    assert payload(enrolling) == (enrolling / "enrolled.fd").read_bytes()


def test_two_builds_are_alike(enrolling):
    (enrolling / "fuki.toml").write_text(recipe(f"{{ {KEYS}, dbx = ['{'ab' * 32}'] }}"))
    succeed(enrolling, "build", "--output", "one.efi")
    succeed(enrolling, "build", "--output", "two.efi")
    assert (enrolling / "one.efi").read_bytes() == (enrolling / "two.efi").read_bytes()


def test_firmware_and_certificates_are_inputs(enrolling, part):
    succeed(enrolling, "build", "--depfile", "deps")
    manifest = json.loads((enrolling / "acme_41.3.manifest.json").read_text())
    inputs = {(item["name"], item["where"]): item["sha256"] for item in manifest["inputs"]}
    for file, key in (("PK", "pk"), ("KEK", "kek[0]"), ("db", "db[0]")):
        digest = hashlib.sha256((enrolling / f"keys/{file}.pem").read_bytes()).hexdigest()
        assert inputs[f"keys/{file}.pem", f"fuki.firmware[0].enroll.{key}"] == digest
    digest = hashlib.sha256(part("ovmf-inteltdx").read_bytes()).hexdigest()
    assert inputs["fw/OVMF.fd", "fuki.firmware[0]"] == digest
    words = (enrolling / "deps").read_text().split()
    assert {"keys/PK.pem", "keys/KEK.pem", "keys/db.pem", "fw/OVMF.fd"} <= set(words)
    assert not [word for word in words if "/fuki-" in word and "plugins" not in word]


def test_the_manifest_says_whose_platform_key_it_is(enrolling):
    succeed(enrolling, "build")
    command = ["openssl", "x509", "-in", "keys/PK.pem", "-noout", "-fingerprint", "-sha256"]
    shown = subprocess.run(command, cwd=enrolling, capture_output=True, text=True, check=True).stdout
    origin = json.loads((enrolling / "acme_41.3.manifest.json").read_text())["firmware"]["fw"]
    assert origin == {
        "source": "directory",
        "enrolled-by": "virt-firmware",
        "pk": shown.partition("=")[2].strip().replace(":", "").lower(),
    }


def test_firmware_of_a_profile_is_enrolled_too(enrolling):
    firmware = FIRMWARE.replace("[[fuki.firmware]]", '[[fuki.profile]]\nid = "tenant"\n[[fuki.profile.firmware]]')
    (enrolling / "fuki.toml").write_text(recipe(f"{{ {KEYS} }}", firmware))
    succeed(enrolling, "build")
    assert values(payload(enrolling, ".efifw@1"))["db"]


def test_what_another_source_fetches_is_enrolled_as_well(enrolling, part):
    firmware = f'source = "command"\ncommand = ["cp", "{part("ovmf-inteltdx")}", "{{output}}"]\nid = "fw"\n'
    firmware = f'[[fuki.firmware]]\n{firmware}platforms = ["qemu"]\n'
    (enrolling / "fuki.toml").write_text(recipe(f"{{ {KEYS} }}", firmware))
    succeed(enrolling, "build")
    assert values(payload(enrolling))["PK"]


def test_a_section_of_mkosis_takes_it_too(enrolling):
    (enrolling / "fuki.toml").unlink()
    (enrolling / "mkosi.conf").write_text(
        "[Fuki]\nName=acme\nVersion=41.3\nPlugins=virt-firmware\nStub=stub\nLinux=vmlinuz\nOsRelease=os-release\n"
        f"Firmware=source=directory path=fw platforms=qemu 'enroll={{ {KEYS} }}'\n"
    )
    succeed(enrolling, "build")
    assert values(payload(enrolling))["PK"]


MISTAKES = {
    "no platform key": ('{ db = ["keys/db.pem"] }', ".enroll", "'pk' is missing", "add pk"),
    "a misspelt key": (f"{{ {KEYS}, dbs = [] }}", ".enroll.dbs", "unknown key", "'db'"),
    "a certificate that is not there": ('{ pk = "nope", db = ["keys/db.pem"] }', ".enroll.pk", "cannot open", "recipe"),
    "a text for a certificate": (
        f"{{ {KEYS.replace('keys/KEK.pem', 'os-release')} }}",
        ".enroll.kek[0]",
        "this is not a certificate",
        "PEM or DER",
    ),
    "a key for a certificate": (
        f"{{ {KEYS.replace('db.pem', 'db.key')} }}",
        ".enroll.db[0]",
        "this is not a certificate",
        "private key",
    ),
    "an empty db": ('{ pk = "keys/PK.pem" }', ".enroll.db", "an empty db", "certificate"),
    "nothing to revoke": (f"{{ {KEYS}, dbx = ['x', 'y'] }}", ".enroll.dbx[0]", "cannot open", "recipe"),
    "no GUID": (f"{{ {KEYS}, owner = 'acme' }}", ".enroll.owner", "UUID", "schema"),
    "an unknown enroller": (
        f"{{ {KEYS}, backend = 'nope' }}",
        ".enroll.backend",
        "no enroller 'nope'",
        "virt-firmware",
    ),
    "no table": ('"keys"', ".enroll", "table", "schema"),
}


@pytest.mark.parametrize(("enroll", "place", "problem", "remedy"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_refused_at_its_place(enrolling, enroll, place, problem, remedy):
    (enrolling / "fuki.toml").write_text(recipe(enroll))
    error = refused(enrolling, "build")
    assert error.startswith(f"fuki: error: fuki.firmware[0]{place}: ")
    assert problem in error
    assert remedy in error


def test_firmware_without_variables_is_refused_at_its_place(enrolling, part):
    (enrolling / "fw/OVMF.fd").unlink()
    (enrolling / "fw/OVMF.fd").symlink_to(part("ovmf-code"))
    error = refused(enrolling, "build", code=1)
    assert error.startswith("fuki: error: fuki.firmware[0].enroll: ")
    assert "has no UEFI variable store" in error


def test_without_the_plugin_it_is_named(enrolling):
    (enrolling / "fuki.toml").write_text(recipe(f"{{ {KEYS} }}", plugins=()))
    assert "add 'virt-firmware' to plugins" in refused(enrolling, "build")


def test_firmware_that_would_ignore_the_keys_stops_the_build(enrolling, part):
    (enrolling / "fw/OVMF.fd").unlink()
    (enrolling / "fw/OVMF.fd").symlink_to(part("ovmf-generic"))
    (enrolling / "deps").write_text("old")
    outcome = invoke(enrolling, "build", "--depfile", "deps")
    assert outcome.code == 1
    assert "[firmware-ignores-keys]" in outcome.err
    assert (enrolling / "deps").read_text() == "old"
    assert not (enrolling / "acme_41.3.efi").exists()
