"""Recipes that begin with a finished image, or take sections of one in place of files."""

import json

from fuki_build.testing import partial_recipe, refused, succeed
from tests.support.edited import OUT, PARTS, PROFILES, build, content, edit
from tests.support.workshop import FIRMWARE, workshop_recipe


class TestInRecipes:
    def test_a_base_is_built_as_it_is_edited(self, stocked):
        build(stocked)
        edited = edit(stocked, "--set", ".cmdline=x", "--remove", ".uname").read_bytes()
        recipe = partial_recipe(name="a", base="acme.efi", cmdline="x", remove=[".uname"])
        assert build(stocked, recipe, "built.efi").read_bytes() == edited

    def test_plan_shows_what_is_built(self, stocked):
        build(stocked)
        (stocked / "fuki.toml").write_text(partial_recipe(name="a", base="acme.efi", cmdline="x"))
        planned = json.loads(succeed(stocked, "plan", "--json").out)["images"][0]
        succeed(stocked, "build", "-o", OUT)
        shown = json.loads(succeed(stocked, "inspect", OUT, "--json").out)
        places = [
            [(s["name"], s["profile"], s["address"], s["offset"], s["size"]) for s in document["sections"]]
            for document in (planned, shown)
        ]
        assert places[0] == places[1]

    def test_a_manifest_has_the_digests_of_what_was_kept(self, stocked):
        build(stocked)
        recipe = partial_recipe(name="a", base="acme.efi", cmdline="x")
        build(stocked, recipe + '[[fuki.output]]\nformat = "uki"\n[[fuki.output]]\nformat = "manifest"\n', OUT)
        document = json.loads((stocked / "edited.manifest.json").read_text())
        inputs = {item["name"]: item["sha256"] for item in document["inputs"]}
        digests = json.loads(succeed(stocked, "inspect", "acme.efi", "--digests", "--json").out)["sections"]
        kept = {f"acme.efi:{s['name']}": s["sha256"] for s in digests if s["name"] != ".cmdline"}
        assert {name: digest for name, digest in inputs.items() if name.startswith("acme.efi:")} == kept

    def test_outputs_depend_on_the_base(self, stocked):
        build(stocked)
        (stocked / "fuki.toml").write_text(partial_recipe(name="a", base="acme.efi"))
        succeed(stocked, "build", "-o", OUT, "--depfile", "deps")
        assert "acme.efi \\" in (stocked / "deps").read_text() or "acme.efi\n" in (stocked / "deps").read_text()
        refused(stocked, "build", "-o", "acme.efi")

    def test_a_kernel_of_the_base_is_signed_where_the_recipe_wants_it(self, stocked):
        sign = '[fuki.sign]\nbackend = "local"\nkey = "db.key"\ncertificate = "db.crt"\nsign-kernel = "always"\n'
        build(stocked)
        recipe = partial_recipe(sign, name="acme", base="acme.efi")
        edited = build(stocked, recipe, OUT).read_bytes()
        assert edited == build(stocked, PARTS + sign, "built.efi").read_bytes()


class TestSectionsInPlaceOfFiles:
    def test_they_are_taken_wherever_files_are(self, stocked):
        image = build(stocked, PARTS + FIRMWARE + PROFILES)
        recipe = workshop_recipe(
            linux="acme.efi:.linux",
            initrd=["acme.efi:.initrd"],
            cmdline={"file": "acme.efi:.cmdline"},
            os_release="acme.efi:.osrel",
        )
        recipe += FIRMWARE.replace("one.fd", "acme.efi:.efifw:one").replace("two.fd", "acme.efi:.efifw:two")
        recipe += PROFILES.replace('cmdline = "debug"', 'cmdline = { file = "acme.efi:.cmdline@debug" }')
        assert build(stocked, recipe, "again.efi").read_bytes() == image.read_bytes()

    def test_a_file_that_has_such_a_name_is_that_file(self, stocked):
        build(stocked)
        (stocked / "acme.efi:.initrd").write_bytes(b"a file")
        edit(stocked, "--set", ".initrd=@acme.efi:.initrd")
        assert content(stocked, ".initrd") == b"a file"

    def test_the_manifest_has_the_section_s_name_and_digest(self, stocked):
        build(stocked)
        outputs = '[[fuki.output]]\nformat = "uki"\n[[fuki.output]]\nformat = "manifest"\n'
        build(stocked, workshop_recipe(outputs, linux="acme.efi:.linux"), OUT)
        inputs = json.loads((stocked / "edited.manifest.json").read_text())["inputs"]
        digests = json.loads(succeed(stocked, "inspect", "acme.efi", "--digests", "--json").out)["sections"]
        (kernel,) = [item for item in inputs if item["where"] == "fuki.image.linux"]
        assert kernel["name"] == "acme.efi:.linux"
        assert kernel["sha256"] == next(s["sha256"] for s in digests if s["name"] == ".linux")
