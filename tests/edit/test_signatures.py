"""Signatures of an image that is edited, and the place where it goes."""

import shutil

import pytest

from fuki_build.testing import invoke, partial_recipe, refused, succeed
from tests.support.edited import OUT, build, content, edit


class TestSignatures:
    def test_they_are_dropped_and_that_is_said(self, stocked):
        build(stocked)
        succeed(stocked, "sign", "acme.efi", "--key", "db.key", "--certificate", "db.crt")
        outcome = succeed(stocked, "edit", "acme.efi", "--set", ".cmdline=x", "-o", OUT)
        assert "the signatures of acme.efi are left out" in outcome.err
        assert invoke(stocked, "verify", OUT, "--certificate", "db.crt").code == 3

    def test_a_new_one_is_made_with_a_key(self, stocked):
        build(stocked)
        edit(stocked, "--set", ".cmdline=x", "--key", "db.key", "--certificate", "db.crt")
        signed = (stocked / OUT).read_bytes()
        edit(stocked, "--set", ".cmdline=x")
        succeed(stocked, "sign", OUT, "--key", "db.key", "--certificate", "db.crt")
        assert signed == (stocked / OUT).read_bytes()

    def test_a_recipe_with_signers_elsewhere_signs_too(self, stocked):
        build(stocked)
        (stocked / "below").mkdir()
        for name in ("db.key", "db.crt"):
            shutil.move(stocked / name, stocked / "below" / name)
        (stocked / "below/part.toml").write_text(
            partial_recipe('[fuki.sign]\nbackend = "local"\nkey = "db.key"\ncertificate = "db.crt"')
        )
        edit(stocked, "--recipe", "below/part.toml")
        succeed(stocked, "verify", OUT, "--certificate", "below/db.crt")

    def test_in_place_the_image_is_replaced_with_its_permissions(self, stocked):
        image = build(stocked)
        image.chmod(0o750)
        succeed(stocked, "edit", image, "--set", ".cmdline=x", "--in-place")
        assert content(stocked, ".cmdline", "acme.efi") == b"x"
        assert image.stat().st_mode & 0o777 == 0o750

    def test_otherwise_it_is_not_written_over_under_any_name(self, stocked):
        image = build(stocked)
        before = image.read_bytes()
        (stocked / "link.efi").hardlink_to(image)
        for name in ("acme.efi", "link.efi"):
            assert "--in-place" in refused(stocked, "edit", "acme.efi", "--set", ".cmdline=x", "-o", name)
        assert "what was read" in refused(stocked, "edit", "acme.efi", "--add-initrd", "more.img", "-o", "more.img")
        assert image.read_bytes() == before


@pytest.mark.parametrize("more", [[], ["-o", OUT, "--in-place"]])
def test_where_the_image_goes_is_said_once(stocked, more):
    build(stocked)
    outcome = invoke(stocked, "edit", "acme.efi", *more)
    assert outcome.code == 2
    assert "--output, or --in-place" in outcome.err
