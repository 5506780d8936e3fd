"""`fuki diff`: pairs of built images that differ in one thing each, and what follows from it by the specifications.

What a change reaches is UAPI.5's and the stub's: PCR 4 is of the whole image, 9 of command line and initrds, 11 of
sections, 12 of what comes from outside. Digests of sections are of what objcopy takes out of the files.
"""

import hashlib
import json
import subprocess
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import parts
import pytest

from fuki_build.image.image import ImageKind
from fuki_build.testing import invoke, recipe, refused, succeed
from fuki_build.testing.documents import printed
from fuki_build.testing.launch import peer_digest
from tests.support.images import layout_of, write
from tests.support.workshop import BASE, lay_out

FIRMWARE = """
[[fuki.firmware]]
source = "file"
path = "{path}"
id = "one"
platforms = ["qemu:{machine}"]
"""
PROFILES = """
[[fuki.profile]]
id = "debug"
cmdline = "debug"
"""
RESCUE = """
[[fuki.profile]]
id = "rescue"
title = "Rescue"
"""
POLICY = """
[[fuki.pcr-policy]]
key = "../keys/pcr.key"
phases = ["enter-initrd"]
"""
ACME = "acme,{},Acme,acme,1,https://acme.example/"
TOLD = ("--console", "", "--no-boot-secret")
"""What PCR 9 depends on beside the image."""
NAMES = (
    "sections", "profiles", "firmware", "selections", "sbat", "signatures", "policies", "pcr4", "pcr9", "pcr11",
    "pcr12", ".cmdline", ".initrd", ".efifw", ".hwids", ".sbat", ".pcrsig", ".pcrpkey", ".profile", ".linux", ".text",
)  # fmt: skip


def image(  # noqa: PLR0913 - each is one difference
    directory: Path,
    *,
    cmdline: str = "root=LABEL=root ro",
    initrd: bytes = b"#!/bin/sh\n",
    firmware: str = "generic.fd",
    machine: str = "q35",
    generation: int | None = 2,
    policy: str = POLICY,
    profiles: str = PROFILES + RESCUE,
) -> Path:
    """Build an image; each argument is what one difference is about."""
    text = recipe(
        policy + FIRMWARE.format(path=firmware, machine=machine) + profiles,
        cmdline=cmdline,
        initrd=["initrd.img"],
        sbat=[] if generation is None else [ACME.format(generation)],
        uname="6.12",
    )
    real = {**BASE, "generic.fd": "ovmf-generic", "amdsev.fd": "ovmf-amdsev"}
    lay_out(directory, real=real, files={"initrd.img": parts.initrd({"init": initrd})}, recipe=text)
    succeed(directory, "build", "-o", "image.efi")
    return directory / "image.efi"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory) -> Path:
    """Keys, and the image that others are compared with."""
    directory = tmp_path_factory.mktemp("fleet")
    succeed(directory, "keys", "generate", "keys", "--pcr")
    succeed(directory, "keys", "generate", "others", "--pcr", "--name", "Others")
    image(directory / "old")
    return directory


OLD, NEW = "old/image.efi", "new/image.efi"
ANYWHERE = {"sections", "pcr4"}
SIGNED = {".pcrsig", "pcr9"}
"""With PCR 11 change the policies that are signed over it, and the initrd in which the stub hands them over."""


@pytest.mark.parametrize(
    ("changes", "differing"),
    [
        ({"cmdline": "root=LABEL=root rw"}, {".cmdline", "pcr11", *SIGNED}),
        ({"initrd": b"#!/bin/ash\n"}, {".initrd", "pcr11", *SIGNED}),
        ({"firmware": "amdsev.fd"}, {".efifw", "firmware", "pcr11", *SIGNED}),
        ({"machine": "i440fx"}, {".hwids", "selections", "pcr11", *SIGNED}),
        ({"generation": 1}, {".sbat", "sbat", "pcr11", *SIGNED}),
        ({"generation": None}, {".sbat", "sbat", "pcr11", *SIGNED}),
        ({"generation": 3}, {".sbat", "pcr11", *SIGNED}),
        ({"policy": ""}, {*SIGNED, ".pcrpkey", "pcr11", "policies"}),
        ({"policy": POLICY.replace("keys/", "others/")}, {*SIGNED, ".pcrpkey", "pcr11", "policies"}),
        ({"policy": POLICY.replace("enter-initrd", "sysinit")}, {*SIGNED, "policies"}),
        ({"policy": POLICY.replace('"]', '", "sysinit"]')}, SIGNED),
        ({"profiles": PROFILES}, {"profiles", ".profile", ".pcrsig"}),
    ],
)  # fmt: skip
def test_one_change_differs_in_all_that_depends_on_it_and_in_nothing_else(
    fleet: Path, tmp_path: Path, changes: Mapping[str, Any], differing: set[str]
):
    (tmp_path / "keys").symlink_to(fleet / "keys")
    (tmp_path / "others").symlink_to(fleet / "others")
    new = image(tmp_path / "new", **changes)
    forbid = [word for name in NAMES for word in ("--forbid", name)]
    document = printed(fleet, "diff", OLD, new, *TOLD, *forbid, "--json", code=3)
    assert set(document["forbidden"]) == differing | ANYWHERE

    staying = [word for name in NAMES if name not in differing | ANYWHERE for word in ("--forbid", name)]
    assert "Registers that stay in every case: " in succeed(fleet, "diff", OLD, new, *TOLD, *staying).out


@pytest.fixture(scope="module")
def updated(fleet: Path) -> Path:
    """A new image with another command line, initrd, machine and firmware."""
    image(fleet / "new", cmdline="root=LABEL=root rw quiet", machine="i440fx", firmware="amdsev.fd", initrd=b"other\n")
    return fleet


def test_digests_and_sizes_are_those_of_what_objdump_finds(updated: Path):
    document = printed(updated, "diff", OLD, NEW, "--json")
    rows = {row["name"]: row for row in document["sections"] if row["profile"] is None}
    for name in (".cmdline", ".initrd", ".hwids", ".efifw"):
        for side, path in (("old", OLD), ("new", NEW)):
            content = taken_out(updated / path, name)
            assert rows[name][side]["sha256"] == hashlib.sha256(content).hexdigest(), (name, side)
            assert rows[name][side]["size"] == len(content)
    assert ".linux" not in rows
    assert taken_out(updated / OLD, ".linux") == taken_out(updated / NEW, ".linux")


def taken_out(path: Path, section: str) -> bytes:
    """A section's content up to its virtual size, as objdump -h tells that."""
    listing = subprocess.run(["objdump", "-h", path], capture_output=True, text=True, check=True).stdout
    row = next(line.split() for line in listing.splitlines() if line.split()[1:2] == [section])
    with path.open("rb") as file:
        file.seek(int(row[5], 16))
        return file.read(int(row[2], 16))


def test_files_have_the_sizes_and_digests_of_the_files(updated: Path):
    document = printed(updated, "diff", OLD, NEW, "--json")
    for side, path in (("old", OLD), ("new", NEW)):
        data = (updated / path).read_bytes()
        assert document[side]["file-size"] == len(data)
        assert document[side]["sha256"] == hashlib.sha256(data).hexdigest()


def test_words_of_a_command_line_are_told(updated: Path):
    document = printed(updated, "diff", OLD, NEW, "--json")
    (text,) = [text for text in document["texts"] if text["section"] == ".cmdline"]
    assert text == {"section": ".cmdline", "profile": None, "removed": ["ro"], "added": ["rw", "quiet"]}


def test_machines_that_change_are_told_with_what_they_get_as_fuki_match_says_it(updated: Path):
    document = printed(updated, "diff", OLD, NEW, "--json")
    told = {
        (machine, row["old"]["fwid"], row["new"]["fwid"], profile)
        for row in document["selections"]
        for machine in row["machines"]
        for profile in row["profiles"]
    }
    before, after = (selected(updated, path) for path in (OLD, NEW))
    assert told == {(m, before[m, p], after[m, p], p) for m, p in before if before[m, p] != after[m, p]}
    assert len(told) == 6


def selected(directory: Path, path: str) -> dict[tuple[str, int], str | None]:
    rows = printed(directory, "match", path, "--platform", "qemu", "--json")["matches"]
    return {(row["machine"], row["profile"]): (row["firmware"] or {}).get("fwid") for row in rows}


def test_registers_of_machines_are_those_that_fuki_measure_predicts(updated: Path):
    arguments = ("--platform", "qemu", *TOLD, "--json")
    document = printed(updated, "diff", OLD, NEW, *arguments)
    before, after = (measured(printed(updated, "measure", path, *arguments)) for path in (OLD, NEW))
    told = 0
    for row in document["registers"]:
        for machine in row["machines"] or ["QEMU q35", "QEMU i440fx"]:
            key = machine, row["profile"], row["pcr"], row["phase"]
            assert (row["old"], row["new"]) == (before[key], after[key])
            assert row["same"] is (before[key] == after[key])
            told += 1
    assert told == len(before) == len(after)


def measured(document: dict) -> dict[tuple[str, int, int, str | None], dict[str, str]]:
    return {
        (machine, case["profile"], register["pcr"], register["phase"]): register["values"]
        for case in document["predictions"]
        for machine in case["machines"]
        for register in case["registers"]
    }


def test_equal_images_are_equal_whatever_cannot_be_told_of_them(fleet: Path):
    forbid = [word for name in (*NAMES, "launch") for word in ("--forbid", name)]
    arguments = ("diff", OLD, OLD, *forbid, "--vcpu-model", "EPYC-Milan")
    outcome = succeed(fleet, "--plugin", "coco", *arguments)
    assert "The images are the same, byte for byte." in outcome.out
    assert printed(fleet, *arguments, "--json", plugins=("coco",))["identical"] is True


def test_launches_that_differ_are_those_that_the_peer_of_sev_snp_measures_differently(updated: Path):
    arguments = ("diff", OLD, NEW, "--technology", "sev-snp", "--vcpu-model", "EPYC-Milan", "--forbid", "launch")
    document = printed(updated, *arguments, "--json", plugins=("coco",), code=3)
    (row,) = document["launches"]
    assert (row["fwid"], row["technology"], row["register"]) == ("one", "sev-snp", "MEASUREMENT")
    for side, firmware in (("old", "generic.fd"), ("new", "amdsev.fd")):
        expected = peer_digest("sev-snp", updated / side / firmware, "qemu", 1, "EPYC-Milan", 1)
        assert row[side] == expected


def test_a_command_line_changes_launches_only_where_the_hypervisor_boots_it(updated: Path, tmp_path: Path):
    changed = tmp_path / "changed.efi"
    succeed(updated, "edit", NEW, "--set", ".cmdline=quiet", "-o", changed)
    assert printed(updated, "diff", NEW, changed, "--json")["launches"] is None
    launch = ("--technology", "sev-snp", "--vcpu-model", "EPYC-Milan", "--json")
    assert printed(updated, "diff", NEW, changed, *launch, plugins=("coco",))["launches"] == []

    rows = printed(updated, "diff", NEW, changed, *launch, "--direct-boot", "sections", plugins=("coco",))["launches"]
    (row,) = [row for row in rows if ", main, " in row["case"]]
    kernel, initrd = (str(updated / "new" / name) for name in ("vmlinuz", "initrd.img"))
    for side, cmdline in (("old", "root=LABEL=root rw quiet"), ("new", "quiet")):
        expected = peer_digest(
            "sev-snp", updated / "new/amdsev.fd", "qemu", 1, "EPYC-Milan", 1, kernel, initrd, cmdline
        )
        assert row[side] == expected


def test_launches_need_a_plugin_that_knows_them(fleet: Path):
    assert "load one" in refused(fleet, "diff", OLD, OLD, "--forbid", "launch")


def test_a_register_that_cannot_be_told_is_not_taken_for_one_that_stays(updated: Path):
    error = invoke(updated, "diff", OLD, NEW, "--forbid", "pcr9")
    assert error.code == 3
    assert "PCR 9 of profile @0 cannot be told: without console=" in error.err


def test_a_signature_that_is_lost_is_told_by_its_signer_and_one_more_is_no_fault(fleet: Path, tmp_path: Path):
    sign = ("sign", OLD, "--key", "keys/db.key", "--certificate", "keys/db.pem", "-o", tmp_path / "signed.efi")
    succeed(fleet, *sign)
    gates = ("--forbid", "signatures", "--forbid", "sections", "--forbid", "pcr11", "--json")
    lost = printed(fleet, "diff", tmp_path / "signed.efi", OLD, *gates, code=3)
    assert lost["forbidden"] == ["signatures"]

    fingerprint = subprocess.run(
        ["openssl", "x509", "-in", fleet / "keys/db.pem", "-noout", "-fingerprint", "-sha256"],
        capture_output=True, text=True, check=True,
    ).stdout.strip().rpartition("=")[2].replace(":", "").lower()  # fmt: skip

    assert [(s["of"], s["change"], s["fingerprint"]) for s in lost["signatures"]] == [("image", "removed", fingerprint)]
    gained = printed(fleet, "diff", OLD, tmp_path / "signed.efi", *gates)
    assert [s["change"] for s in gained["signatures"]] == ["added"]


def test_a_signature_that_is_revoked_is_lost(fleet: Path, tmp_path: Path):
    succeed(fleet, "sign", OLD, "--key", "keys/db.key", "--certificate", "keys/db.pem", "-o", tmp_path / "signed.efi")
    image_of_others = tmp_path / "others.efi"
    succeed(fleet, "sign", OLD, "--key", "others/db.key", "--certificate", "others/db.pem", "-o", image_of_others)
    trust = ("--certificate", "keys/db.pem", "--forbid", "signatures")
    assert invoke(fleet, "diff", tmp_path / "signed.efi", image_of_others, *trust).code == 3


def test_addons_are_compared_without_registers(tmp_path: Path):
    one, two = (
        write(
            tmp_path / f"{text[:3].decode()}.addon.efi",
            layout_of([(".cmdline", text, None)], "addon-stub-x64", ImageKind.ADDON),
        )
        for text in (b"one=1", b"two=1")
    )
    document = printed(tmp_path, "diff", one, two, "--json")
    assert [row["name"] for row in document["sections"]] == [".cmdline"]
    assert (document["registers"], document["unpredicted"]) == ([], "it is no UKI: it has no .linux section")
    assert invoke(tmp_path, "diff", one, two, "--forbid", "pcr11").code == 3


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("cmdline", "did you mean '.cmdline'?"),
        (".cmdlin", "did you mean '.cmdline'?"),
        ("pcr10", "did you mean 'pcr1"),
        ("selection", "did you mean 'selections'?"),
        ("xyzzy", "there are: sections,"),
    ],
)
def test_a_name_that_stands_for_nothing_is_refused_with_the_one_that_was_meant(fleet: Path, name: str, hint: str):
    error = refused(fleet, "diff", OLD, OLD, "--forbid", name)
    assert f"--forbid: '{name}' is nothing that can be compared" in error
    assert hint in error


def test_register_7_asks_for_the_variables_that_it_is_made_of(fleet: Path):
    assert "--variables" in refused(fleet, "diff", OLD, OLD, "--forbid", "pcr7")


def test_the_names_are_listed(fleet: Path):
    listed = succeed(fleet, "diff", "--list").out
    assert json.dumps([line.split()[0] for line in listed.splitlines()]).count("pcrN") == 1


class _Cells(HTMLParser):
    """The texts of a page's cells and headings, and its tags."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, *_: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


def test_a_page_has_what_is_printed_escaped_and_what_was_forbidden(fleet: Path, tmp_path: Path):
    changed, page = tmp_path / "changed.efi", tmp_path / "page.html"
    succeed(fleet, "edit", OLD, "--set", ".cmdline=<script>alert()</script>", "-o", changed)
    outcome = invoke(fleet, "diff", OLD, changed, "--forbid", ".cmdline", "--html", page)
    assert outcome.code == 3
    cells = _Cells(page.read_text())
    assert {"Sections", "Texts", "<script>alert()</script>", "section .cmdline is changed"} <= {
        text.removeprefix(": ") for text in cells.texts
    }
    assert "script" not in cells.tags
    assert hashlib.sha256((fleet / OLD).read_bytes()).hexdigest() in cells.texts


def test_a_page_replaces_no_image_that_was_read(fleet: Path):
    assert OLD in refused(fleet, "diff", OLD, OLD, "--html", OLD)
