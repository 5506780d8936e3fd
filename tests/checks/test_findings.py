"""What findings do: how `fuki check` tells, lists, explains and silences them, and what they stop."""

import json
from pathlib import Path

import pytest

from fuki_build.testing import CommandOutcome, invoke, refused, succeed
from tests.support.right_image import RIGHT, WORKSHOP, addon, listed, right
from tests.support.wrong_images import WRONG, other_firmware, swap

pytestmark = WORKSHOP


def test_the_list_gives_severities(workshop):
    assert {severity for _, severity in listed(workshop)} == {"error", "warning", "note"}


def test_every_rule_is_explained_with_the_way_to_silence_it(workshop):
    for rule, severity in listed(workshop):
        text = succeed(workshop, "check", "--explain", rule).out
        assert text.startswith(f"{rule} ({severity}): ")
        assert f'silence = ["{rule}"]' in text


def test_an_unknown_rule_cannot_be_explained(workshop):
    assert "there is no check 'nope'" in refused(workshop, "check", "--explain", "nope")


def check(workshop: Path) -> CommandOutcome:
    return invoke(workshop, "check")


def test_a_silenced_rule_says_nothing_and_no_longer_stops_a_build(workshop, part):
    other_firmware("")(workshop, part)
    assert check(workshop).code == 1
    (workshop / "fuki.toml").write_text(right(silence=["firmware-unknown"]))
    assert check(workshop).code == 0
    assert "firmware-unknown" not in check(workshop).err
    succeed(workshop, "build")


def test_a_warning_does_not_make_check_fail(workshop, part):
    swap('os-release = "os-release"\n', "")(workshop, part)
    assert check(workshop).code == 0
    assert "warning: " in check(workshop).err


def test_findings_come_with_a_hint_and_their_id(workshop, part):
    swap('os-release = "os-release"\n', "")(workshop, part)
    assert "[os-release-missing]\n  hint: add os-release" in check(workshop).err


def test_errors_come_before_warnings_and_notes(workshop, part):
    other_firmware("")(workshop, part)
    swap('os-release = "os-release"\n', "")(workshop, part)
    findings = json.loads(invoke(workshop, "check", "--json").out)["findings"]
    order = ["error", "warning", "note"]
    severities = [order.index(finding["severity"]) for finding in findings]
    assert severities == sorted(severities)
    assert set(severities) == {0, 1, 2}


@pytest.mark.parametrize(
    "name", ["header-size", "sbat-size", "section-room", "image-size", "kernel-not-startable", "stub-too-old"]
)
def test_an_error_stops_a_build_before_anything_is_written(workshop, part, name):
    WRONG[name](workshop, part)
    before = sorted(workshop.rglob("*"))
    outcome = invoke(workshop, "build", "-o", "new/out.efi", "--depfile", "d")
    assert outcome.code == 1
    assert f"[{name}]" in outcome.err
    assert f"fuki check --explain {name}" in outcome.err
    assert sorted(workshop.rglob("*")) == before


@pytest.mark.parametrize("name", ["header-size", "sbat-size", "image-size"])
def test_a_plan_with_errors_is_still_shown(workshop, part, name):
    WRONG[name](workshop, part)
    outcome = invoke(workshop, "plan")
    assert outcome.code == 1
    assert ".initrd" in outcome.out
    assert f"[{name}]" in outcome.err


def test_people_are_told_when_there_is_nothing_to_find(workshop, tmp_path):
    (workshop / "fuki.toml").write_text(RIGHT.partition("[[fuki.firmware]]")[0])
    succeed(workshop, "build", "-o", tmp_path / "x.efi")
    assert invoke(workshop, "check", tmp_path / "x.efi").err == "nothing to complain about\n"


def test_a_file_that_is_not_there_is_refused(workshop):
    assert "nope.efi" in refused(workshop, "check", "nope.efi")


def test_finished_addons_are_checked_with_their_image(workshop):
    addon(workshop, 'uname = "6.1-other"', silence=["addon-uname"])
    succeed(workshop, "build")
    place = "acme.efi.extra.d/a.addon.efi"
    succeed(workshop, "check", place)
    outcome = invoke(workshop, "check", "acme.efi", "--addon", place)
    assert outcome.code == 1
    assert f"error: {place}: the addon is for the kernel 6.1-other, the image has 6." in outcome.err
    assert "a recipe names its own" in refused(workshop, "check", "--addon", place)
