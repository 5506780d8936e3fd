"""`fuki release`: each reason against an update, what verifiers learn, and what revokes the old image.

Each reason comes from one change to an image that may be released. The digest in dbx is the one that osslsigncode
computes.
"""

import base64
import json
import subprocess
from pathlib import Path
from uuid import UUID

import pytest

from fuki_build.formats.uefi import authenticated_variable
from fuki_build.formats.uki import hwids
from fuki_build.formats.uki.hwids import Device, DeviceType
from fuki_build.testing import invoke, recipe, refused, succeed
from fuki_build.testing.documents import complaints
from tests.support.images import layout_of, write
from tests.support.workshop import BASE, lay_out

FIRMWARE = """
[[fuki.firmware]]
source = "file"
path = "one.fd"
id = "one"
platforms = ["qemu:q35"]

[[fuki.profile]]
id = "debug"
cmdline = "debug"
"""
SIGNED = """
[fuki.sign]
backend = "local"
key = "../keys/db.key"
certificate = "../keys/db.pem"
"""
POLICY = """
[[fuki.pcr-policy]]
key = "../keys/pcr.key"
phases = ["enter-initrd", "enter-initrd:leave-initrd"]
"""
ACME = "acme,{},Acme,acme,1,https://acme.example/"


def image(
    directory: Path,
    version: str | None = "2",
    *,
    generation: int | None = 1,
    system: str = "acme",
    firmware: str = FIRMWARE,
    signed: str = SIGNED,
    policy: str = POLICY,
) -> Path:
    """Build an image; each argument is what one reason is about."""
    told = "" if version is None else f"IMAGE_VERSION={version}\n"
    text = recipe(
        signed + policy + firmware,
        silence=["firmware-unknown"],
        os_release={"text": f"ID={system}\n{told}"},
        sbat=[] if generation is None else [ACME.format(generation)],
        uname="6.12",
    )
    lay_out(directory, real=BASE, files={"one.fd": b"\xff" * 4096}, recipe=text)
    succeed(directory, "build", "-o", "image.efi")
    return directory / "image.efi"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory) -> Path:
    """Keys, and the image that the fleet runs."""
    directory = tmp_path_factory.mktemp("fleet")
    succeed(directory, "keys", "generate", "keys", "--pcr")
    succeed(directory, "keys", "generate", "others", "--pcr", "--name", "Others")
    image(directory / "old", "1")
    image(directory / "new")
    return directory


OLD = "old/image.efi"
NEW = "new/image.efi"


def objections(fleet: Path, *arguments: object) -> dict[str, dict]:
    outcome = invoke(fleet, "release", *arguments, "--json")
    document = json.loads(outcome.out)
    assert complaints(document, "release") == []
    refused_ids = {one["id"] for one in document["objections"] if not one["allowed"]}
    assert outcome.code == (3 if refused_ids else 0)
    return {one["id"]: one for one in document["objections"]}


def test_a_newer_image_for_the_same_machines_may_be_released(fleet):
    assert objections(fleet, OLD, NEW) == {}


@pytest.mark.parametrize(
    ("reason", "changes"),
    [
        ("version-not-newer", {"version": "1"}),
        ("version-not-newer", {"version": "1~rc1"}),
        ("version-not-newer", {"version": None}),
        ("other-system", {"system": "other"}),
        ("sbat-component-lost", {"generation": None}),
        ("policies-lost", {"policy": ""}),
        ("policy-key-lost", {"policy": POLICY.replace("keys", "others")}),
        ("policy-gap", {"policy": POLICY.replace(', "enter-initrd:leave-initrd"', "")}),
        ("signer-lost", {"signed": ""}),
        ("signer-lost", {"signed": SIGNED.replace("keys", "others")}),
        ("profile-lost", {"firmware": FIRMWARE.replace("debug", "other")}),
    ],
)
def test_a_change_is_a_reason_of_its_own(fleet, tmp_path, reason, changes):
    for name in ("keys", "others"):
        (tmp_path / name).symlink_to(fleet / name)
    other = image(tmp_path / "other", **changes)
    assert set(objections(fleet, OLD, other)) == {reason}
    assert objections(fleet, OLD, other, "--allow", reason)[reason]["allowed"]


def test_a_generation_that_falls_is_a_reason(fleet, tmp_path):
    (tmp_path / "keys").symlink_to(fleet / "keys")
    before, after = image(tmp_path / "before", "1", generation=3), image(tmp_path / "after", generation=2)
    reason = objections(fleet, before, after)
    assert set(reason) == {"sbat-generation-falls"}
    assert reason["sbat-generation-falls"]["message"] == "acme falls from generation 3 to 2"


def test_machines_of_platforms_that_lose_their_firmware_are_named(fleet, tmp_path):
    (tmp_path / "keys").symlink_to(fleet / "keys")
    other = image(tmp_path / "other", firmware=FIRMWARE.replace("q35", "i440fx"))
    assert objections(fleet, OLD, other)["firmware-lost"]["machines"] == ["QEMU q35"]
    only = objections(fleet, OLD, other, "--platform", "qemu:i440fx")["firmware-lost"]
    assert only["machines"] == ["QEMU q35"], "its id stands in the old image, whatever machines are named"


def test_ids_of_machines_that_nobody_names_are_looked_at(fleet, tmp_path):
    """The table of the image is all that is known of this machine."""
    (tmp_path / "keys").symlink_to(fleet / "keys")
    given = FIRMWARE.replace('platforms = ["qemu:q35"]', 'chids = ["{}"]')
    ids = "d8846172-f0a0-50ff-8a99-a25f2bb5b9e5", "cb4dd112-4b64-5e8b-8a41-3a0a8f1a32de"
    before = image(tmp_path / "before", "1", firmware=given.format(ids[0]))
    after = image(tmp_path / "after", firmware=given.format(ids[1]))
    assert "firmware-lost" in objections(fleet, before, after)
    same = image(tmp_path / "same", firmware=given.format(ids[0]))
    assert objections(fleet, before, same) == {}


def test_a_signature_that_firmware_does_not_trust_is_a_reason(fleet):
    assert objections(fleet, OLD, NEW, "--certificate", "keys/db.pem") == {}
    assert set(objections(fleet, OLD, NEW, "--certificate", "others/db.pem")) == {"signature-invalid"}


def test_each_reason_is_a_line_with_its_id(fleet):
    outcome = invoke(fleet, "release", NEW, OLD)
    assert outcome.code == 3
    assert "\nversion-not-newer: version 1 is not newer than 2\n" in outcome.out
    assert "hint: if that is meant, add --allow version-not-newer" in outcome.err
    outcome = invoke(fleet, "release", NEW, OLD, "--allow", "version-not-newer", "--allow", "signer-lost")
    assert outcome.code == 0
    assert "\nversion-not-newer (allowed): " in outcome.out
    assert "warning: --allow signer-lost: there is no such reason" in outcome.err


def test_nothing_is_written_where_it_is_refused(fleet):
    outcome = invoke(fleet, "release", NEW, OLD, "--learn", "rvps=values.json", "--revoke", "dbx.auth")
    assert outcome.code == 3
    assert not {"values.json", "dbx.auth"} & {path.name for path in fleet.iterdir()}


def test_mistakes_are_told(fleet):
    assert "did you mean 'signer-lost'?" in refused(fleet, "release", OLD, NEW, "--allow", "signers-lost")
    assert "there are: predictions, launches, keylime, rvps" in refused(fleet, "release", OLD, NEW, "--learn", "pcrs=x")
    assert "no SBAT generation rises" in refused(fleet, "release", OLD, NEW, "--level", "level")
    assert "this is no UKI" in refused(fleet, "release", OLD, "old/vmlinuz", code=1)
    same = ("release", NEW, NEW, "--allow", "version-not-newer")
    assert "both images have one digest" in refused(fleet, *same, "--revoke", "dbx.auth")


def test_verifiers_learn_the_values_of_both(fleet, tmp_path):
    learn = [f"--learn={name}={tmp_path / name}" for name in ("keylime", "rvps", "predictions")]
    succeed(fleet, "release", OLD, NEW, *learn)
    ready = set()
    for path in (OLD, NEW):
        view = json.loads(succeed(fleet, "measure", path, "--json").out)
        ready |= {
            register["values"]["sha256"]
            for case in view["predictions"]
            for register in case["registers"]
            if register["pcr"] == 11 and register["phase"]
        }
    assert set(json.loads((tmp_path / "keylime").read_text())["11"]) == ready
    payload = json.loads(base64.b64decode(json.loads((tmp_path / "rvps").read_text())["payload"]))
    assert set(payload["tpm_pcr11"]) == ready
    assert [view["image"] for view in json.loads((tmp_path / "predictions").read_text())] == ["image.efi"] * 2


@pytest.fixture(scope="module")
def confidential(tmp_path_factory) -> Path:
    """Two images with firmware for confidential guests, of two builds of OVMF."""
    directory = tmp_path_factory.mktemp("confidential")
    for version, firmware in ((1, "ovmf-amdsev"), (2, "ovmf-2025")):
        text = recipe(
            FIRMWARE,
            silence=["firmware-unknown"],
            os_release={"text": f"ID=acme\nIMAGE_VERSION={version}\n"},
            uname="6.12",
        )
        lay_out(directory / str(version), real={**BASE, "one.fd": firmware}, recipe=text)
        succeed(directory / str(version), "build", "-o", "image.efi")
    return directory


IMAGES = ("1/image.efi", "2/image.efi")
LAUNCHED = ("--technology", "sev,tdx", "--vcpus", "1")


def rows(document: dict) -> list[tuple[str, str, str]]:
    return [(row["technology"], row["variant"] or row["register"], row["digest"]) for row in document["launches"]]


def test_verifiers_learn_what_guests_measure_at_launch_with_the_firmware_of_both(confidential, tmp_path):
    learned = tmp_path / "launches"
    coco = ("--plugin", "coco")
    command = (*coco, "release", *IMAGES, "--platform", "qemu:q35", *LAUNCHED)
    document = json.loads(succeed(confidential, *command, "--json", "--learn", f"launches={learned}").out)
    assert complaints(document, "release") == []

    # The firmware as a file: what 'fuki launch' tells of that is held against other programs by its own tests.
    files = [json.loads(invoke(confidential, *coco, "launch", f"{n}/one.fd", *LAUNCHED, "--json").out) for n in (1, 2)]
    assert [rows(one) for one in document["launches"]] == [rows(one) for one in files]
    assert set(rows(files[0])).isdisjoint(rows(files[1]))
    assert rows(json.loads(learned.read_text())) == rows(files[0]) + rows(files[1])

    told = succeed(confidential, *command).out
    for when, one in zip(("old", "new"), files, strict=True):
        part = told.partition(f"Before: learn what guests measure at launch with the {when} image\n")[2]
        assert all(digest in part.partition("\n\n")[0] for _, _, digest in rows(one))


def test_a_recipe_says_how_guests_are_launched(confidential):
    table = (confidential / "1/fuki.toml").read_text() + '[[fuki.launch]]\ntechnology = "sev"\nvcpus = [1, 2]\n'
    (confidential / "launch.toml").write_text(table.replace("[fuki]\n", '[fuki]\nplugins = ["coco"]\n', 1))
    document = json.loads(succeed(confidential, "release", *IMAGES, "--recipe", "launch.toml", "--json").out)
    assert [{row["technology"] for row in one["launches"]} for one in document["launches"]] == [{"sev"}, {"sev"}]


def test_mistakes_about_launches_are_told(confidential, fleet):
    assert "coco" in refused(confidential, "release", *IMAGES, *LAUNCHED)
    assert "--technology says of what" in invoke(confidential, "release", *IMAGES, "--vcpus", "2").err
    assert "give --technology" in refused(confidential, "release", *IMAGES, "--learn", "launches=x")
    assert not (confidential / "x").exists()
    error = refused(fleet, "--plugin", "coco", "release", OLD, NEW, "--technology", "tdx", code=1)
    assert "old/image.efi: " in error
    assert "'fuki firmware show' tells what it has" in error


def test_the_level_refuses_the_old_image_and_not_the_new_one(fleet, tmp_path, monkeypatch):
    (tmp_path / "keys").symlink_to(fleet / "keys")
    raised = image(tmp_path / "raised", generation=2)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    succeed(fleet, "release", OLD, raised, "--level", tmp_path / "level")
    # shim's SBAT.md: the first line has the date, each other one a component and the lowest generation that may start.
    assert (tmp_path / "level").read_text() == "sbat,1,2023111400\nacme,2\n"
    trusting = ("--certificate", "keys/db.pem", "--sbat-level", tmp_path / "level")
    assert invoke(fleet, "verify", OLD, *trusting).code == 3
    succeed(fleet, "verify", raised, *trusting)


def test_a_level_keeps_what_the_one_before_revoked(fleet, tmp_path, monkeypatch):
    (tmp_path / "keys").symlink_to(fleet / "keys")
    raised = image(tmp_path / "raised", generation=2)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    (tmp_path / "before").write_text("sbat,1,2021030218\nshim,2\ngrub,3\nacme,1\n")
    before = ("--sbat-level", tmp_path / "before")
    succeed(fleet, "release", OLD, raised, "--level", tmp_path / "level", *before)
    assert (tmp_path / "level").read_text() == "sbat,1,2023111400\nshim,2\ngrub,3\nacme,2\n"


def test_the_update_of_dbx_refuses_the_old_image_and_not_the_new_one(fleet, tmp_path):
    update = tmp_path / "dbx.auth"
    succeed(fleet, "release", OLD, NEW, "--revoke", update, "--key", "keys/KEK.key", "--kek", "keys/KEK.pem")
    value = authenticated_variable.decode(update.read_bytes()).payload
    signed = subprocess.run(["osslsigncode", "verify", "-in", fleet / OLD], capture_output=True, text=True, check=False)
    digest = next(line.split(":")[1].strip() for line in signed.stdout.splitlines() if "Current message digest" in line)
    assert bytes.fromhex(digest) in value
    trusting = ("--certificate", "keys/db.pem", "--dbx", update)
    assert "dbx lists the image's digest" in invoke(fleet, "verify", OLD, *trusting).err
    succeed(fleet, "verify", NEW, *trusting)


def test_an_image_with_ids_beyond_belief_is_refused(tmp_path):
    ids = frozenset(UUID(int=number) for number in range(1, 33_000))
    table = hwids.encode([Device(DeviceType.UEFI_FW, "many", "one", ids)])
    sections = [(".linux", b"kernel", None), (".osrel", b"ID=acme\n", None), (".hwids", table, None)]
    profiles = [(".profile", b"ID=a\n", 0), (".profile", b"ID=b\n", 1)]
    write(tmp_path / "many.efi", layout_of([*sections, *profiles]))
    assert "hardware ids, counted in each profile" in refused(tmp_path, "release", "many.efi", "many.efi", code=1)
