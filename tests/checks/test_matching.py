"""The rules that hold a recipe's machines against the simulation of the stub."""

import json
from pathlib import Path

import pytest

from fuki_build.checks.matching import RULES
from fuki_build.hardware.machine import Machine, encode_file
from fuki_build.hooks.rules import CheckSubject, Expectation, Severity
from fuki_build.image.inspect import inspect
from fuki_build.testing import invoke, recipe, succeed
from tests.support.smbios import T440S

Q35 = "817fca52-ae83-52f5-8642-9497f79d49d0"
ANY_QEMU = "7f5dbe14-cfc8-595a-95fd-0fda870d7b52"
MATCHING = {"match-wrong-firmware", "match-no-firmware", "match-collision", "match-expectation"}

BASE = recipe(os_release="os-release", uname="")
LAPTOP = Machine(name="laptop", **T440S)
TWIN = Machine(name="twin", **{**T440S, "bios_version": "other"})
"""What differs is in no id that the stub tries."""


pytestmark = pytest.mark.workshop(
    real={"one.fd": "ovmf-generic", "two.fd": "ovmf-generic"},
    files={
        f"{machine.name}.toml": encode_file(machine)
        for machine in (
            LAPTOP,
            TWIN,
            Machine(name="sibling", **{**T440S, "product": "20ARS19C0D"}),
            Machine(name="lab", manufacturer="QEMU", product="Standard PC (Q35 + ICH9, 2009)"),
        )
    },
)


def firmware(id_: str, text: str, table: str = "fuki.firmware") -> str:
    return f'[[{table}]]\nsource = "file"\npath = "{id_}.fd"\nid = "{id_}"\n{text}\n'


def profile(id_: str, *firmwares: str) -> str:
    return f'[[fuki.profile]]\nid = "{id_}"\ncmdline = "{id_}"\n' + "".join(firmwares)


def own(id_: str, text: str) -> str:
    return firmware(id_, text, "fuki.profile.firmware")


def expect(machine: str, fwid: str | None, in_profile: str | None = None) -> str:
    lines = [f"machine = '{machine}'", *([f"firmware = '{fwid}'"] if fwid else [])]
    lines += [f"profile = '{in_profile}'"] if in_profile else []
    return "[[fuki.expect]]\n" + "\n".join(lines) + "\n"


def findings(workshop: Path, *parts: str) -> list[tuple[str, str, str, str]]:
    """What `fuki check` finds about matching: rule, severity, place, message."""
    (workshop / "fuki.toml").write_text(BASE + "".join(parts))
    findings = json.loads(invoke(workshop, "check", "--json").out)["findings"]
    return [(f["rule"], f["severity"], f["where"], f["message"]) for f in findings if f["rule"] in MATCHING]


def test_these_are_all_rules_about_matching():
    assert {rule.id for rule in RULES} == MATCHING


class TestConflicts:
    def test_machines_that_differ_somewhere_are_told_apart(self, workshop: Path):
        parts = firmware("one", 'machines = ["laptop.toml"]'), firmware("two", 'machines = ["sibling.toml"]')
        assert findings(workshop, *parts) == []

    def test_one_machine_under_two_firmware_images_is_an_error_that_names_both(self, workshop: Path):
        parts = firmware("one", 'machines = ["laptop.toml"]'), firmware("two", 'machines = ["twin.toml"]')
        ((rule, severity, where, message),) = findings(workshop, *parts)
        assert (rule, severity, where) == ("match-wrong-firmware", "error", "fuki.firmware[1].machines[0]")
        assert "twin is to select 'two', and selects 'one' through CHID type 3" in message

    def test_an_id_that_another_firmware_lists_bare_wins_if_its_type_is_tried_first(self, workshop: Path):
        # Type 3 of the laptop comes before the type that fuki chooses for it.
        laptop_3 = "3faec92a-3ae3-5744-be88-495e90a7d541"
        parts = firmware("one", 'machines = ["laptop.toml"]'), firmware("two", f'chids = ["{laptop_3}"]')
        ((rule, _, where, message),) = findings(workshop, *parts)
        assert (rule, where) == ("match-wrong-firmware", "fuki.firmware[0].machines[0]")
        assert f"selects 'two' through CHID type 3 ({laptop_3})" in message

    def test_an_id_of_a_type_that_is_tried_later_does_no_harm(self, workshop: Path):
        laptop_11 = "db73af4c-4612-50f7-b8a7-787cf4871847"
        one = firmware("one", 'machines = ["laptop.toml"]\nchid-types = [9]')
        assert findings(workshop, one, firmware("two", f'chids = ["{laptop_11}"]')) == []

    def test_a_wide_firmware_and_a_narrow_one_share_a_family(self, workshop: Path):
        parts = (
            firmware("one", 'machines = ["sibling.toml"]\nchid-types = [11]'),
            firmware("two", 'machines = ["laptop.toml"]'),
            expect("sibling.toml", "one"),
            expect("laptop.toml", "two"),
        )
        assert findings(workshop, *parts) == []

    def test_a_wide_id_of_machines_without_sku_and_family_is_tried_before_their_product(self, workshop: Path):
        # Types 7 and 11 are one id there, and 7 comes before 9.
        parts = (
            firmware("one", 'platforms = ["qemu:i440fx"]'),
            firmware("two", 'platforms = ["qemu:q35"]\nchid-types = [11]'),
        )
        wrong = [f for f in findings(workshop, *parts) if f[0] == "match-wrong-firmware"]
        ((_, severity, where, message),) = wrong
        assert (severity, where) == ("error", "fuki.firmware[0].platforms[0]")
        assert f"QEMU i440fx is to select 'one', and selects 'two' through CHID type 7 ({ANY_QEMU})" in message

    def test_the_conflict_stops_the_build(self, workshop: Path):
        parts = firmware("one", 'machines = ["laptop.toml"]'), firmware("two", 'machines = ["twin.toml"]')
        (workshop / "fuki.toml").write_text(BASE + "".join(parts))
        outcome = invoke(workshop, "build")
        assert outcome.code == 1
        assert "match-wrong-firmware" in outcome.err
        assert not (workshop / "acme.efi").exists()


class TestCollisions:
    def test_a_platforms_machine_that_selects_a_firmware_for_others_is_a_warning(self, workshop: Path):
        part = firmware("one", 'platforms = ["qemu:q35"]\nchid-types = [11]')
        ((rule, severity, where, message),) = findings(workshop, part)
        assert (rule, severity, where) == ("match-collision", "warning", ".hwids")
        assert "'one' is also selected by QEMU i440fx" in message

    def test_a_machine_file_that_cannot_be_told_from_a_platform_is_a_warning(self, workshop: Path):
        ((rule, _, _, message),) = findings(workshop, firmware("one", 'machines = ["lab.toml"]'))
        assert rule == "match-collision"
        assert "'one' is also selected by QEMU q35" in message

    def test_naming_the_platform_too_settles_it(self, workshop: Path):
        assert findings(workshop, firmware("one", 'machines = ["lab.toml"]\nplatforms = ["qemu:q35"]')) == []

    def test_a_firmware_of_which_only_ids_are_known_is_for_whoever_has_them(self, workshop: Path):
        assert findings(workshop, firmware("one", f'chids = ["{ANY_QEMU}"]')) == []


class TestExpectations:
    ONE = firmware("one", 'platforms = ["qemu:q35"]')

    def test_one_that_holds_is_silent(self, workshop: Path):
        assert findings(workshop, self.ONE, expect("qemu:q35", "one"), expect("laptop.toml", None)) == []

    def test_another_firmware_than_the_expected_one_is_an_error_with_its_place(self, workshop: Path):
        complaints = findings(workshop, self.ONE, expect("qemu:q35", "one"), expect("lab.toml", "ovmf"))
        assert complaints == [("match-expectation", "error", "fuki.expect[1]", "lab selects one, expected is ovmf")]

    def test_none_instead_of_a_firmware_is_an_error(self, workshop: Path):
        complaints = findings(workshop, self.ONE, expect("laptop.toml", "one"))
        assert complaints == [
            ("match-expectation", "error", "fuki.expect[0]", "laptop selects no firmware, expected is one")
        ]

    def test_a_firmware_instead_of_none_is_an_error(self, workshop: Path):
        complaints = findings(workshop, self.ONE, expect("qemu:q35", None))
        assert complaints == [
            ("match-expectation", "error", "fuki.expect[0]", "QEMU q35 selects one, expected is none")
        ]

    def test_a_platform_is_expected_machine_by_machine(self, workshop: Path):
        complaints = findings(workshop, self.ONE, expect("qemu", "one"))
        assert [f[3] for f in complaints if f[0] == "match-expectation"] == [
            "QEMU i440fx selects no firmware, expected is one"
        ]

    def test_a_firmware_that_the_table_names_but_the_image_does_not_have_is_none(self, workshop: Path):
        (workshop / "ghost.json").write_text(
            json.dumps({"type": "uefi-fw", "name": "G", "fwid": "ghost", "hwids": [Q35]})
        )
        (workshop / "fuki.toml").write_text(BASE + 'hwids = "ghost.json"\n' + expect("qemu:q35", "ghost"))
        findings = json.loads(invoke(workshop, "check", "--json").out)["findings"]
        assert "QEMU q35 selects no firmware, expected is ghost" in [f["message"] for f in findings]

    def test_an_image_without_firmware_can_be_expected_to_select_none(self, workshop: Path):
        assert findings(workshop, expect("qemu", None)) == []


class TestProfiles:
    PARTS = (
        firmware("one", 'platforms = ["qemu:q35"]'),
        profile("debug", own("two", 'platforms = ["qemu:q35"]')),
        profile("plain"),
    )

    def test_one_machine_may_select_another_firmware_in_a_profile(self, workshop: Path):
        assert findings(workshop, *self.PARTS) == []

    def test_an_expectation_for_a_profile_is_for_that_profile_alone(self, workshop: Path):
        expected = expect("qemu:q35", "one"), expect("qemu:q35", "two", "debug")
        assert findings(workshop, *self.PARTS, *expected) == []

    def test_profiles_are_named_in_what_is_found(self, workshop: Path):
        complaints = findings(workshop, *self.PARTS, expect("qemu:q35", "one"))
        assert [f[2:] for f in complaints] == [("fuki.expect[0]", "QEMU q35 booting @1 selects two, expected is one")]

    def test_the_image_itself_is_a_profile_with_a_name(self, workshop: Path):
        expected = expect("qemu:q35", "two", "main")
        complaints = findings(workshop, *self.PARTS, expected)
        assert [f[3] for f in complaints] == ["QEMU q35 booting @0 selects one, expected is two"]

    def test_the_base_counts_for_profiles_without_firmware_of_their_own(self, workshop: Path):
        assert findings(workshop, *self.PARTS, expect("qemu:q35", "one", "plain")) == []
        complaints = findings(workshop, *self.PARTS, expect("qemu:q35", "two", "plain"))
        assert [f[3] for f in complaints] == ["QEMU q35 booting @2 selects one, expected is two"]

    def test_without_profiles_the_image_is_the_profile_main(self, workshop: Path):
        assert findings(workshop, self.PARTS[0], expect("qemu:q35", "one", "main")) == []


class TestFinishedImages:
    """The rules on an image as it is read: nothing is declared there, and machines are given."""

    def subject(self, workshop: Path, *expectations: Expectation) -> CheckSubject:
        (workshop / "fuki.toml").write_text(BASE + firmware("one", 'machines = ["laptop.toml"]'))
        succeed(workshop, "build")
        return CheckSubject(inspect(workshop / "acme.efi"), (), expectations)

    def test_without_expectations_there_is_nothing_to_find(self, workshop: Path):
        subject = self.subject(workshop)
        assert [finding for rule in RULES for finding in rule.findings(subject)] == []

    def test_a_declared_machine_that_selects_none_is_an_error(self, workshop: Path):
        lost = Machine(name="lost", manufacturer="Nobody")
        subject = self.subject(workshop, Expectation(machine=lost, fwid="one", profile=None, where="somewhere"))
        (finding,) = [finding for rule in RULES for finding in rule.findings(subject)]
        assert (finding.rule, finding.severity, finding.where) == ("match-no-firmware", Severity.ERROR, "somewhere")
        assert "lost is to select 'one', and selects none" in finding.message
