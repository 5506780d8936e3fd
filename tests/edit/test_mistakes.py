"""What cannot be edited, and what stands for no section, profile or place, is one error."""

import pytest

from fuki_build.testing import partial_recipe, refused
from tests.support.edited import OUT, PARTS, PROFILES, build
from tests.support.workshop import FIRMWARE, workshop_recipe

MISTAKES = {
    "a section that is not there": (["--remove", ".splash", "-o", OUT], "there are: .text"),
    "a profile that is not there": (["--remove", "@nope", "-o", OUT], "there are: 0 (main)"),
    "no address": (["--remove", ":", "-o", OUT], "is not SECTION"),
    "the stub's section": (["--remove", ".text", "-o", OUT], "the stub's own"),
    "the stub's section, set": (["--set", ".text=@more.img", "-o", OUT], "--stub"),
    "a profile's own name": (["--remove", ".profile@1", "-o", OUT], "@PROFILE"),
    "no kernel": (["--remove", ".linux", "-o", OUT], "no kernel"),
    "no value": (["--set", ".cmdline", "-o", OUT], "SECTION[@PROFILE]=TEXT"),
    "twice": (["--set", ".cmdline=a", "--set", "cmdline=b", "-o", OUT], "given twice"),
    "text for a kernel": (["--set", ".linux=vmlinuz", "-o", OUT], "@FILE"),
    "a missing file": (["--set", ".linux=@nope", "-o", OUT], "cannot open nope"),
    "a missing image": (["--set", ".linux=@nope.efi:.linux", "-o", OUT], "cannot open nope.efi"),
    "a missing section": (["--set", ".splash=@acme.efi:.splash", "-o", OUT], ".splash is not there"),
    "an ambiguous section": (["--set", ".dtb=@acme.efi:.efifw", "-o", OUT], "2 times"),
    "an unknown profile": (["--set", ".cmdline@dbug=x", "-o", OUT], "1 (debug)"),
    "a profile that is there": (["--add-profile", "debug", "-o", OUT], "already"),
    "firmware by --set": (["--set", ".efifw=@one.fd", "-o", OUT], "--firmware"),
    "firmware without id": (["--firmware", "one.fd", "-o", OUT], "ID=one.fd"),
    "machines of nothing": (["--platform", "qemu", "-o", OUT], "--firmware"),
    "machines of one of two": (
        ["--firmware", "a=one.fd", "--firmware", "b=two.fd", "--chid", "01e09b32-de05-56ca-b9d1-9486ad5f381d"],
        "for which firmware",
    ),
    "an image as stub": (["--stub", "acme.efi", "-o", OUT], "fuki edit"),
    "no hand-over program": (["--no-hand-over", "-o", OUT], "no hand-over program"),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_one_error_and_leaves_nothing(stocked, case):
    arguments, message = MISTAKES[case]
    build(stocked, PARTS + FIRMWARE + PROFILES)
    if "-o" not in arguments:
        arguments = [*arguments, "-o", OUT]
    assert message in refused(stocked, "edit", "acme.efi", *arguments)
    assert not (stocked / OUT).exists()


@pytest.mark.parametrize(
    ("name", "message"), [("vmlinuz", "neither a UKI"), ("stub", "neither a UKI"), ("initrd.img", "MZ")]
)
def test_what_is_no_image_is_refused(stocked, name, message):
    assert message in refused(stocked, "edit", name, "-o", OUT)


def test_a_stub_that_is_an_image_names_the_verb(stocked):
    build(stocked)
    (stocked / "fuki.toml").write_text(workshop_recipe(stub="acme.efi"))
    error = refused(stocked, "plan")
    assert "fuki.image.stub" in error
    assert "fuki edit" in error


def test_an_error_says_its_place_in_a_recipe(stocked):
    build(stocked)
    (stocked / "part.toml").write_text(partial_recipe(remove=[".nope"]))
    assert "fuki.image.remove[0]" in refused(stocked, "edit", "acme.efi", "--recipe", "part.toml", "-o", OUT)
    (stocked / "fuki.toml").write_text(PARTS + 'remove = [".osrel"]\n')
    assert "no base image" in refused(stocked, "plan")
