"""Signed policies over PCR 11 are the very ones of systemd-measure; and what an image with them has."""

import hashlib
import json
import os
import subprocess
import sys

import parts
import pytest

from fuki_build.testing import invoke, refused, secure_boot, succeed
from tests.signing.conftest import SIGN
from tests.support.pcr_policies import (
    ALL_BANKS,
    BANKS,
    PHASES,
    POLICY,
    PROFILES,
    RECIPE,
    as_sets,
    build,
    signatures,
    systemds,
)
from tests.support.workshop import FIRMWARE


@pytest.mark.parametrize("with_profiles", [False, True])
def test_they_are_those_of_systemd_measure_for_every_profile_and_firmware(pcr, with_profiles):
    image = build(pcr, RECIPE + FIRMWARE + (PROFILES if with_profiles else "") + POLICY + ALL_BANKS)
    for profile in (0, 1, 2) if with_profiles else (None,):
        ours = signatures(pcr, "" if profile is None else f"@{profile}")
        theirs = systemds(pcr, image, profile, "sign", "--private-key=pcr.key", *(f"--bank={b}" for b in BANKS))
        assert as_sets(ours) == theirs
        # Nothing selected, and either firmware, in four phases each.
        assert {bank: len(entries) for bank, entries in ours.items()} == dict.fromkeys(BANKS, 12)


def test_a_reference_is_bound_as_systemd_measure_does(pcr):
    image = build(pcr, RECIPE + POLICY + 'reference = "initrd"\n')
    theirs = systemds(pcr, image, None, "sign", "--private-key=pcr.key", "--bank=sha256", "--policyref=initrd")
    assert as_sets(signatures(pcr)) == theirs


def test_ukify_makes_the_same_where_there_is_no_firmware(pcr):
    image = build(pcr, RECIPE + POLICY + ALL_BANKS)
    program = parts.get("systemd-measure")
    libraries = program.parents[1] / "x86_64-linux-gnu"

    command = [
        sys.executable,
        str(parts.get("ukify")),
        "build",
        "--stub=stub",
        "--linux=vmlinuz",
        "--initrd=initrd.img",
    ]

    command += ["--cmdline=root=LABEL=root ro", "--os-release=@os-release", "--pcr-private-key=pcr.key"]
    command += ["--pcr-public-key=pcr.pub", f"--phases={' '.join(PHASES)}", f"--tools={program.parent}"]
    command += ["--output=theirs.efi"]
    environment = {**os.environ, "LD_LIBRARY_PATH": f"{libraries}:{libraries}/systemd"}
    done = subprocess.run(command, cwd=pcr, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ours = as_sets(signatures(pcr))
    image.unlink()
    (pcr / "theirs.efi").rename(image)
    assert as_sets(signatures(pcr)) == ours


class TestWhat:
    def test_the_public_key_goes_into_the_image(self, pcr):
        build(pcr, RECIPE + POLICY)
        succeed(pcr, "inspect", "acme.efi", "--extract", ".pcrpkey", "-o", "key")
        assert (pcr / "key").read_bytes() == (pcr / "pcr.pub").read_bytes()

    def test_a_public_key_of_the_recipe_stays(self, pcr):
        build(pcr, RECIPE + 'pcrpkey = "os-release"\n' + POLICY)
        succeed(pcr, "inspect", "acme.efi", "--extract", ".pcrpkey", "-o", "key")
        assert (pcr / "key").read_bytes() == (pcr / "os-release").read_bytes()

    def test_several_keys_each_sign_their_phases(self, pcr):
        """As for secrets that only the initrd may have, and others."""
        both = POLICY + 'phases = ["enter-initrd"]\n' + POLICY.replace("pcr.key", "db.key") + 'phases = ["a", "a:b"]\n'
        build(pcr, RECIPE + both)
        policies = signatures(pcr)["sha256"]
        keys = [entry["pkfp"] for entry in policies]
        assert sorted(keys.count(key) for key in set(keys)) == [1, 2]
        assert invoke(pcr, "inspect", "acme.efi", "--extract", ".pcrpkey", "-o", "key").code == 2

    def test_only_the_profiles_that_are_named_get_policies(self, pcr):
        build(pcr, RECIPE + PROFILES + POLICY + 'profiles = ["rescue", "main"]\n')
        names = [
            (section["name"], section["profile"])
            for section in json.loads(succeed(pcr, "inspect", "acme.efi", "--json").out)["sections"]
        ]
        assert [profile for name, profile in names if name == ".pcrsig"] == [0, 2]

    def test_nothing_moves_from_plan_to_image(self, pcr):
        (pcr / "fuki.toml").write_text(
            RECIPE + FIRMWARE + PROFILES + POLICY + ALL_BANKS + SIGN + "sign-kernel = true\n"
        )
        planned = json.loads(succeed(pcr, "plan", "--json").out)["images"][0]["sections"]
        succeed(pcr, "build")
        built = json.loads(succeed(pcr, "inspect", "acme.efi", "--json").out)["sections"]
        places = ("name", "address", "offset", "size", "profile")
        assert [[s[k] for k in places] for s in planned] == [[s[k] for k in places] for s in built]

    def test_two_builds_give_the_same_bytes(self, pcr):
        recipe = RECIPE + FIRMWARE + POLICY + SIGN
        first = build(pcr, recipe).read_bytes()
        assert build(pcr, recipe).read_bytes() == first
        succeed(pcr, "verify", "acme.efi", "--certificate", "ca.crt")

    def test_planning_asks_for_no_secret_where_the_public_key_is_given(self, pcr):
        secure_boot.write_key(pcr / "locked.key", secure_boot.make_key(), "sesame")
        policy = POLICY.replace("pcr.key", "locked.key")
        (pcr / "fuki.toml").write_text(RECIPE + policy + 'public-key = "pcr.pub"\n')
        succeed(pcr, "plan")
        (pcr / "fuki.toml").write_text(RECIPE + policy)
        assert "fuki.pcr-policy[0].passphrase" in refused(pcr, "plan", code=4)

    def test_the_manifest_tells_of_the_section_as_it_was_made(self, pcr):
        build(pcr, RECIPE + POLICY, "--only", "uki", "--only", "manifest")
        image = json.loads((pcr / "acme.manifest.json").read_text())["images"][0]
        (digest,) = [section["sha256"] for section in image["sections"] if section["name"] == ".pcrsig"]
        signatures(pcr)
        assert digest == hashlib.sha256((pcr / "pcrsig").read_bytes()).hexdigest()
