"""`fuki diff`: pairs of built images that differ in one thing each, and what follows from it by the specifications.

What a change reaches is UAPI.5's and the stub's: PCR 4 is of the whole image, 9 of command line and initrds, 11 of
sections, 12 of what comes from outside. Digests of sections are of what objcopy takes out of the files.
"""

import hashlib
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fuki_build.image.image import ImageKind
from fuki_build.testing import invoke, refused, succeed
from fuki_build.testing.documents import printed
from tests.support.compared_images import NEW, OLD, POLICY, PROFILES, image
from tests.support.images import layout_of, write

TOLD = ("--console", "", "--no-boot-secret")
"""What PCR 9 depends on beside the image."""
NAMES = (
    "sections", "profiles", "firmware", "selections", "sbat", "signatures", "policies", "pcr4", "pcr9", "pcr11",
    "pcr12", ".cmdline", ".initrd", ".efifw", ".hwids", ".sbat", ".pcrsig", ".pcrpkey", ".profile", ".linux", ".text",
)  # fmt: skip

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


def test_a_register_that_cannot_be_told_is_not_taken_for_one_that_stays(updated: Path):
    error = invoke(updated, "diff", OLD, NEW, "--forbid", "pcr9")
    assert error.code == 3
    assert "PCR 9 of profile @0 cannot be told: without console=" in error.err


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
