"""Every rule finds what it is for, and is silent about an image that is right."""

import pytest

from fuki_build.testing import succeed
from tests.checks import test_structure
from tests.support.right_image import EXPECTED, RIGHT, WORKSHOP, found, listed, signed
from tests.support.wrong_images import WRONG

pytestmark = WORKSHOP

ABOUT_THE_WHOLE = {
    "digest-disputed",
    "os-release-missing",
    "uname-missing",
    "image-size",
    "header-size",
    "stub-unknown",
}


@pytest.mark.parametrize(("name", "prepare"), WRONG.items(), ids=WRONG)
def test_the_wrong_image_is_found_by(workshop, part, name, prepare):
    target = prepare(workshop, part)
    findings = found(workshop, *target)
    rule = name.split()[0]
    assert rule in findings
    assert findings[rule]["message"]
    assert findings[rule]["where"] or rule in ABOUT_THE_WHOLE


def test_the_right_recipe_has_no_findings(workshop):
    assert set(found(workshop)) == EXPECTED


def test_the_right_image_has_no_findings(workshop):
    succeed(workshop, "build")
    assert set(found(workshop, "acme.efi")) == EXPECTED


def test_firmware_that_is_not_handed_over_is_only_a_matter_of_images_with_firmware(workshop):
    (workshop / "fuki.toml").write_text(RIGHT.partition("[[fuki.firmware]]")[0])
    assert set(found(workshop)) == set()


def test_a_usual_signature_has_no_findings(workshop, part):
    assert set(found(workshop, *signed("rsa2048")(workshop, part))) == EXPECTED


def test_keys_in_firmware_with_secure_boot_are_no_finding(workshop, part):
    (workshop / "one.fd").unlink()
    (workshop / "one.fd").write_bytes(part("ovmf-vars-ms").read_bytes() + part("ovmf-secboot").read_bytes())
    assert set(found(workshop)) == EXPECTED


def test_every_rule_of_the_core_has_a_wrong_image_here(workshop):
    # Those about machines, PE headers, hand-overs and IGVM files have files of their own: test_matching.py,
    # test_structure.py, test_hand_over.py, tests/recipe/test_igvm.py.
    rules = {rule for rule, _ in listed(workshop) if not rule.startswith(("match-", "hand-over-", "igvm-"))}
    elsewhere = {*test_structure.WRONG, *test_structure.KERNELS, "section-count", "addon-machine", "cmdline-empty"}
    assert rules == {name.split()[0] for name in (*WRONG, *elsewhere)} | EXPECTED
