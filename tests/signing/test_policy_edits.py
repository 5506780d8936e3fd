"""What `fuki edit` leaves of the policies over PCR 11 of an image."""

import json
from pathlib import Path

import pytest

from fuki_build.testing import invoke, partial_recipe, succeed
from tests.support.pcr_policies import POLICY, PROFILES, RECIPE, build, systemds
from tests.support.workshop import FIRMWARE


class TestEdits:
    """Of a changed image, the policies that stay are those that a build from such parts has, too."""

    def edited(self, directory: Path, *arguments: str) -> str:
        outcome = succeed(directory, "edit", "acme.efi", *arguments, "-o", "edited.efi")
        return outcome.err

    def policies(self, directory: Path, image: str, at: str = "") -> list[dict]:
        succeed(directory, "inspect", image, "--extract", f".pcrsig{at}", "-o", "pcrsig")
        return json.loads((directory / "pcrsig").read_text())["sha256"]

    def has(self, directory: Path, at: str = "") -> bool:
        return invoke(directory, "inspect", "edited.efi", "--extract", f".pcrsig{at}", "-o", "pcrsig").code == 0

    @pytest.mark.parametrize("more", [FIRMWARE, FIRMWARE + PROFILES], ids=["firmware", "profiles"])
    def test_without_a_change_the_image_stays_what_it_is(self, pcr, more):
        image = build(pcr, RECIPE + more + POLICY)
        assert "polic" not in self.edited(pcr)
        assert (pcr / "edited.efi").read_bytes() == image.read_bytes()

    def test_what_is_not_measured_leaves_them_alone(self, pcr):
        build(pcr, RECIPE + FIRMWARE + POLICY)
        before = self.policies(pcr, "acme.efi")
        self.edited(pcr, "--set", ".note=not measured")
        assert self.policies(pcr, "edited.efi") == before

    def test_none_holds_with_another_command_line(self, pcr):
        build(pcr, RECIPE + FIRMWARE + POLICY)
        said = self.edited(pcr, "--set", ".cmdline=other")
        assert "the policies in .pcrsig are left out" in said
        assert not self.has(pcr)
        edited = (pcr / "edited.efi").read_bytes()
        recipe = RECIPE.replace("root=LABEL=root ro", "other") + 'pcrpkey = "pcr.pub"\n'
        assert edited == build(pcr, recipe + FIRMWARE).read_bytes()

    def test_the_same_text_again_is_no_change(self, pcr):
        build(pcr, RECIPE + POLICY)
        assert "polic" not in self.edited(pcr, "--set", ".cmdline=root=LABEL=root ro")
        assert self.has(pcr)

    def test_those_for_other_firmware_and_for_none_hold_when_one_is_replaced(self, pcr):
        build(pcr, RECIPE + FIRMWARE + POLICY)
        before = self.policies(pcr, "acme.efi")
        said = self.edited(pcr, "--firmware", "two=one.fd")
        kept = self.policies(pcr, "edited.efi")
        assert "those that do not hold" in said

        # Nothing selected and the other firmware, in four phases each.
        assert len(before) == 12
        assert len(kept) == 8
        theirs = systemds(pcr, pcr / "edited.efi", None, "sign", "--private-key=pcr.key", "--bank=sha256")
        assert {json.dumps(entry, sort_keys=True) for entry in kept} <= theirs["sha256"]
        verdict = json.loads(invoke(pcr, "verify", "edited.efi", "--json").out)
        assert [bool(policy["places"]) for policy in verdict["policies"]] == [True] * 8

    def test_a_profile_that_is_changed_loses_its_own_only(self, pcr):
        build(pcr, RECIPE + PROFILES + POLICY)
        before = {at: self.policies(pcr, "acme.efi", at) for at in ("@0", "@1", "@2")}
        said = self.edited(pcr, "--set", ".cmdline@debug=other")
        assert "@1" in said
        assert not self.has(pcr, "@1")
        for at in ("@0", "@2"):
            assert self.policies(pcr, "edited.efi", at) == before[at]

    def test_a_recipe_makes_them_anew(self, pcr):
        build(pcr, RECIPE + FIRMWARE + PROFILES + POLICY)
        (pcr / "part.toml").write_text(partial_recipe(POLICY))
        self.edited(pcr, "--set", ".cmdline=other", "--recipe", "part.toml")
        for profile in (0, 1, 2):
            theirs = systemds(pcr, pcr / "edited.efi", profile, "sign", "--private-key=pcr.key", "--bank=sha256")
            ours = self.policies(pcr, "edited.efi", f"@{profile}")
            assert {json.dumps(entry, sort_keys=True) for entry in ours} == theirs["sha256"]
