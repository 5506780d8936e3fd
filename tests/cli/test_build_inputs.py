"""`fuki build` with inputs on the command line."""

import json

from fuki_build.image.inspect import inspect
from fuki_build.testing import succeed
from tests.conftest import RECIPE


def text(path, name):
    return next(s.content.read_small(1 << 20, name) for s in inspect(path).plain_sections if s.name == name)


def test_inputs_stand_in_place_of_the_recipe_s_and_are_relative_to_the_current_directory(fuki, workshop):
    other = workshop / "other"
    other.mkdir()
    (workshop / "fuki.toml").rename(other / "fuki.toml")
    (workshop / "more.img").write_bytes(b"07070100")
    (workshop / "os").write_text("ID=given\n")
    (workshop / "line").write_text("  from a file\n")
    inputs = ("--linux=vmlinuz", "--stub=stub", "--initrd=initrd.img", "--initrd=more.img", "--os-release=os")
    fuki("build", "other", *inputs, "--cmdline={{ as it is }}", "-o", "one.efi")
    assert text(workshop / "one.efi", ".cmdline") == b"{{ as it is }}"
    assert text(workshop / "one.efi", ".osrel") == b"ID=given\n"
    assert text(workshop / "one.efi", ".initrd").endswith(b"07070100")
    fuki("build", "other", *inputs, "--cmdline=@line", "-o", "two.efi")

    assert text(workshop / "two.efi", ".cmdline") == b"  from a file\n"


def test_a_variable_is_given_and_nothing_in_it_is_rendered(fuki, workshop):
    recipe = (workshop / "fuki.toml").read_text()
    variables = '[fuki.variables]\nroot = "recipe"\nline = "root={{ root }}"\n'
    (workshop / "fuki.toml").write_text(recipe.replace('"root=LABEL=root ro"', '"{{ line }}"') + variables)
    fuki("build", "--set", "root=LABEL={{ x }}", "-o", "image.efi")
    assert text(workshop / "image.efi", ".cmdline") == b"root=LABEL={{ x }}"


def test_what_was_given_is_in_the_depfile_and_the_manifest(fuki, workshop):
    (workshop / "given.img").write_bytes(b"07070100")
    fuki("build", "--initrd=given.img", "--only=uki", "--only=manifest", "-o", "x.efi", "--depfile=x.d")
    assert "given.img" in (workshop / "x.d").read_text()
    assert "initrd.img" not in (workshop / "x.d").read_text()
    assert "given.img" in json.dumps(json.loads((workshop / "x.manifest.json").read_text())["inputs"])


def test_a_missing_input_and_a_wrong_variable_are_one_error_and_nothing_is_written(fuki, workshop):
    assert "no.img" in fuki("build", "--initrd=no.img", "-o", "x.efi", code=2).stderr
    assert "NAME=VALUE" in fuki("build", "--set", "novalue", "-o", "x.efi", code=2).stderr
    assert not (workshop / "x.efi").exists()


class TestKeepSame:
    def test_an_output_of_the_same_content_keeps_its_times_and_another_is_replaced(self, workshop):
        manifest = '[[fuki.output]]\nformat = "uki"\n[[fuki.output]]\nformat = "manifest"\n'
        (workshop / "fuki.toml").write_text(RECIPE + manifest)
        succeed(workshop, "build")
        image, facts = workshop / "acme_41.3.efi", workshop / "acme_41.3.manifest.json"
        before = image.stat()
        whole = facts.read_bytes()
        facts.write_bytes(b"other")
        succeed(workshop, "build", "--keep-same")
        assert (image.stat().st_ino, image.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
        assert facts.read_bytes() == whole

        # One byte, of the same length.
        data = bytearray(image.read_bytes())
        data[-1] ^= 1
        image.write_bytes(data)
        succeed(workshop, "build", "--keep-same")
        data[-1] ^= 1
        assert image.read_bytes() == bytes(data)
