"""A file that is something else than the recipe or the command takes it for is told what it is."""

import pytest

from fuki_build.testing import refused, succeed
from tests.support.right_image import RIGHT, WORKSHOP, addon, found, signed
from tests.support.wrong_images import GZIP

pytestmark = WORKSHOP

UNUSABLE = {
    "an image": ("acme.efi", "image with a kernel already"),
    "an addon": ("acme.efi.extra.d/a.addon.efi", "has a .cmdline already"),
    "the stub for addons": ("addon-stub-x64", "the stub for addons, which starts nothing"),
    "a boot loader": ("boot-x64", "the boot loader systemd-boot"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_what_is_no_stub_alone_is_refused_before_the_build(workshop, part, name):
    path, message = UNUSABLE[name]
    addon(workshop)
    if path.startswith("acme"):
        succeed(workshop, "build")
    else:
        (workshop / path).symlink_to(part(path))
    (workshop / "fuki.toml").write_text(RIGHT.replace('stub = "stub"', f'stub = "{path}"'))
    error = refused(workshop, "plan")
    assert error.startswith("fuki: error: fuki.image.stub: ")
    assert message in error
    assert "linux<arch>.efi.stub" in error or "the stub alone" in error


def test_a_signed_image_as_stub_is_told_to_be_an_image(workshop, part):
    signed("rsa2048")(workshop, part)
    (workshop / "fuki.toml").write_text(RIGHT.replace('stub = "stub"', 'stub = "acme.efi"'))
    assert "image with a kernel already" in refused(workshop, "plan")


def test_an_addon_on_another_stub_than_that_for_addons_is_refused(workshop, part):
    (workshop / "boot").symlink_to(part("boot-x64"))
    addon(workshop, 'stub = "boot"')
    error = refused(workshop, "plan")
    assert error.startswith("fuki: error: fuki.addon[0].stub: ")
    assert "addon<arch>.efi.stub" in error


def test_an_image_as_kernel_is_an_error_of_the_plan(workshop):
    succeed(workshop, "build", "-o", "inner.efi")
    (workshop / "fuki.toml").write_text(RIGHT.replace('"vmlinuz"', '"inner.efi"').replace('"auto"', '"6.12"'))
    assert found(workshop)["kernel-is-image"]["where"] == ".linux"


def test_a_kernel_is_told_to_be_one(workshop):
    outcome = succeed(workshop, "check", "vmlinuz")
    assert "note: vmlinuz: this is a Linux kernel for x64, neither a UKI nor an addon" in outcome.err


FILES = {
    "a packed kernel": (GZIP, "compressed with gzip"),
    "vmlinux": (b"\x7fELF\x02\x01\x01", "an ELF program"),
    "an initrd": (b"070701" + bytes(104), "a cpio archive"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_neither_recipe_nor_image_is_told_what_it_is(workshop, name):
    content, message = FILES[name]
    (workshop / "file").write_bytes(content)
    error = refused(workshop, "check", "file")
    assert f"file: the file is {message}, neither a recipe nor an EFI program" in error
