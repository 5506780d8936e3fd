"""`fuki edit`: a finished image in which some things are others, held against the same built from its parts."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fuki_build.testing import invoke, partial_recipe, refused, secure_boot, succeed
from tests.support.rich import ADDONS, UKI, make_rich, sections
from tests.support.workshop import FIRMWARE, workshop_recipe

OUT = "edited.efi"
PARTS = workshop_recipe(version=None)
PROFILES = """
[[fuki.profile]]
id = "debug"
title = "Debug"
cmdline = "debug"
[[fuki.profile]]
id = "rescue"
cmdline = "rescue"
initrd = "more.img"
"""
HAND_OVER = """
[fuki.hand-over]
interface = "vm-launch-update"
lasting = true
"""


@pytest.fixture
def stocked(workshop: Path, part: Callable[[str], Path]) -> Path:
    """The workshop with firmware, a second initrd and keys."""
    (workshop / "one.fd").symlink_to(part("ovmf-generic"))
    (workshop / "two.fd").symlink_to(part("ovmf-amdsev"))
    (workshop / "more.img").write_bytes(b"not quite an initrd" * 1000)
    identity = secure_boot.make_identity("Acme")
    secure_boot.write_key(workshop / "db.key", identity.key)
    secure_boot.write_certificates(workshop / "db.crt", identity.certificate)
    return workshop


def build(directory: Path, recipe: str = PARTS, output: str = "acme.efi") -> Path:
    (directory / "fuki.toml").write_text(recipe)
    succeed(directory, "build", "-o", output)
    return directory / output


def edit(directory: Path, *arguments: object, image: str = "acme.efi") -> Path:
    succeed(directory, "edit", image, *arguments, "-o", OUT)
    return directory / OUT


def content(directory: Path, address: str, image: str = OUT) -> bytes:
    succeed(directory, "inspect", image, "--extract", address, "-o", "extracted")
    return (directory / "extracted").read_bytes()


def names(path: Path) -> list[str]:
    return [name for name, *_ in sections(path)]


class TestWithoutAChange:
    @pytest.mark.parametrize(
        "more",
        ["", FIRMWARE, PROFILES, FIRMWARE + PROFILES, 'sections = { ".note" = { text = "x" } }\n'],
        ids=["plain", "firmware", "profiles", "both", "sections of one's own"],
    )
    def test_the_bytes_are_those_of_the_build(self, stocked, more):
        image = build(stocked, PARTS + more)
        assert edit(stocked).read_bytes() == image.read_bytes()

    def test_a_rich_image_and_its_addons_stay_what_they_are(self, workshop, part):
        make_rich(workshop, part)
        succeed(workshop, "build")
        for path in (UKI, *ADDONS):
            assert edit(workshop, image=path).read_bytes() == (workshop / path).read_bytes()

    def test_an_addon_on_a_stub_stays_what_it_is(self, stocked, part):
        (stocked / "addon-stub").symlink_to(part("addon-stub-x64"))
        build(stocked, PARTS + '[[fuki.addon]]\nname = "a"\ncmdline = "quiet"\nstub = "addon-stub"\n')
        addon = "acme.efi.extra.d/a.addon.efi"
        assert edit(stocked, image=addon).read_bytes() == (stocked / addon).read_bytes()

    def test_a_signed_image_becomes_the_unsigned_one(self, stocked):
        unsigned = build(stocked).read_bytes()
        succeed(stocked, "sign", "acme.efi", "--key", "db.key", "--certificate", "db.crt")
        assert (stocked / "acme.efi").read_bytes() != unsigned
        assert edit(stocked).read_bytes() == unsigned

    def test_older_stubs_stay_in_front(self, stocked, part):
        (stocked / "stub").unlink()
        (stocked / "stub").symlink_to(part("stub-257-x64"))
        image = build(stocked)
        assert edit(stocked).read_bytes() == image.read_bytes()

    def test_a_hand_over_program_is_still_where_the_image_starts(self, stocked):
        recipe = workshop_recipe(plugins=["hand-over"], silence=["vm-launch-update-payload"]) + FIRMWARE
        image = build(stocked, recipe + HAND_OVER)
        assert ".fuki" in names(image)
        assert edit(stocked).read_bytes() == image.read_bytes()

        plain = build(stocked, recipe, "plain.efi")
        assert edit(stocked, "--no-hand-over").read_bytes() == plain.read_bytes()
        assert edit(stocked, "--remove", ".fuki").read_bytes() == plain.read_bytes()


SAME = {
    "a command line": (["--set", ".cmdline=quiet splash"], workshop_recipe(cmdline="quiet splash")),
    "a file's command line": (["--set", ".cmdline=@line"], workshop_recipe(cmdline={"file": "line"})),
    "an initrd behind": (["--add-initrd", "more.img"], workshop_recipe(initrd=["initrd.img", "more.img"])),
    "another initrd": (["--set", ".initrd=@more.img"], workshop_recipe(initrd=["more.img"])),
    "an os-release": (["--set", ".osrel=ID=b"], workshop_recipe(os_release={"text": "ID=b"})),
    "no os-release": (["--remove", ".osrel"], workshop_recipe(os_release=None)),
    "an empty command line": (["--set", ".cmdline="], workshop_recipe(cmdline=None)),
    "a release": (["--set", ".uname=6.1"], PARTS + 'uname = "6.1"\n'),
    "a splash that was not there": (["--set", ".splash=@splash.bmp"], PARTS + 'splash = "splash.bmp"\n'),
    "a section of one's own": (["--set", ".note=x"], PARTS + 'sections = { ".note" = { text = "x" } }\n'),
    "firmware": (
        ["--firmware", "one=one.fd", "--platform", "qemu:q35"],
        PARTS + FIRMWARE.partition('\n[[fuki.firmware]]\nsource = "file"\nid = "two"')[0],
    ),
    "another stub": (["--stub", "stub-257"], workshop_recipe(stub="stub-257")),
    "another kernel": (["--set", ".linux=@other-kernel"], workshop_recipe(linux="other-kernel")),
    "a profile": (
        ["--add-profile", "debug=Debug", "--set", ".cmdline@debug=debug"],
        PARTS + PROFILES.partition('\n[[fuki.profile]]\nid = "rescue"')[0],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SAME)
def test_an_edit_gives_the_bytes_of_a_build_from_such_parts(stocked, part, case):
    arguments, recipe = SAME[case]
    (stocked / "line").write_bytes(b"  as  it is\n")
    (stocked / "stub-257").symlink_to(part("stub-257-x64"))
    (stocked / "other-kernel").write_bytes(part("kernel-x64").read_bytes() + bytes(512))
    (stocked / "splash.bmp").write_bytes(bitmap())
    build(stocked)
    edited = edit(stocked, *arguments).read_bytes()
    assert edited == build(stocked, recipe, "built.efi").read_bytes()


def bitmap() -> bytes:
    pixels = bytes(24)
    head = (40).to_bytes(4, "little") + (3).to_bytes(4, "little") + (2).to_bytes(4, "little")
    head += b"\1\0\x18\0" + bytes(4) + len(pixels).to_bytes(4, "little") + bytes(16)
    return b"BM" + (14 + len(head) + len(pixels)).to_bytes(4, "little") + bytes(4) + b"\x36\0\0\0" + head + pixels


class TestProfiles:
    def test_sections_of_one_are_set_by_its_id_or_number(self, stocked):
        build(stocked, PARTS + PROFILES)
        expected = build(
            stocked, PARTS + PROFILES.replace('cmdline = "debug"', 'cmdline = "x"'), "built.efi"
        ).read_bytes()
        assert edit(stocked, "--set", ".cmdline@debug=x").read_bytes() == expected
        assert edit(stocked, "--set", ".cmdline@1=x").read_bytes() == expected

    def test_what_a_profile_overrides_can_be_removed_from_it_alone(self, stocked):
        build(stocked, PARTS + PROFILES)
        expected = build(stocked, PARTS + PROFILES.replace('initrd = "more.img"\n', ""), "built.efi").read_bytes()
        assert edit(stocked, "--remove", ".initrd@rescue").read_bytes() == expected

    def test_those_behind_a_removed_one_move_up(self, stocked):
        build(stocked, PARTS + PROFILES)
        first, rescue = PROFILES.split('[[fuki.profile]]\nid = "rescue"')
        assert first
        expected = build(stocked, PARTS + '[[fuki.profile]]\nid = "rescue"' + rescue, "built.efi").read_bytes()
        assert edit(stocked, "--remove", "@debug").read_bytes() == expected

    def test_own_sections_of_the_first_are_set_through_a_recipe(self, stocked):
        build(stocked, PARTS + PROFILES)
        (stocked / "part.toml").write_text(partial_recipe('[[fuki.profile]]\nid = "main"\ncmdline = "first"'))
        edited = edit(stocked, "--recipe", "part.toml")
        assert content(stocked, ".cmdline@0") == b"first"
        assert content(stocked, ".cmdline") == b"root=LABEL=root ro"
        assert names(edited).count(".profile") == 3

    def test_a_title_is_changed_and_the_id_kept(self, stocked):
        build(stocked, PARTS + PROFILES)
        (stocked / "part.toml").write_text(
            partial_recipe('[[fuki.profile]]\nid = "debug"\ntitle = "New"', title="Usual")
        )
        edit(stocked, "--recipe", "part.toml")
        assert content(stocked, ".profile@0") == b"ID=main\nTITLE=Usual\n"
        assert content(stocked, ".profile@1") == b"ID=debug\nTITLE=New\n"
        assert content(stocked, ".cmdline@1") == b"debug"


class TestFirmware:
    def selected(self, directory: Path, image: str = OUT) -> dict[str, str | None]:
        document = json.loads(succeed(directory, "match", image, "--platform", "qemu", "--json").out)
        return {row["machine"]: row["fwid"] for row in document["selections"]}

    def test_of_the_same_id_it_is_replaced_and_its_machines_stay(self, stocked):
        build(stocked, PARTS + FIRMWARE)
        expected = build(stocked, PARTS + FIRMWARE.replace("one.fd", "two.fd"), "built.efi").read_bytes()
        assert edit(stocked, "--firmware", "one=two.fd").read_bytes() == expected

    def test_removed_firmware_takes_its_hardware_ids_along(self, stocked):
        build(stocked, PARTS + FIRMWARE)
        edit(stocked, "--remove", ".efifw:two")
        only_one = PARTS + FIRMWARE.partition('\n[[fuki.firmware]]\nsource = "file"\nid = "two"')[0]
        expected = build(stocked, only_one, "built.efi").read_bytes()
        assert (stocked / OUT).read_bytes() == expected

    def test_a_machine_that_the_edit_names_selects_the_new_one_alone(self, stocked):
        build(stocked, PARTS + FIRMWARE)
        edit(stocked, "--firmware", "three=two.fd", "--platform", "qemu:q35")
        document = json.loads(succeed(stocked, "match", OUT, "--platform", "qemu", "--json").out)
        text = json.dumps(document)
        assert text.count('"three"') >= 1
        assert json.loads(succeed(stocked, "check", OUT, "--json").out)

    def test_hardware_ids_of_another_image_are_taken_over(self, stocked):
        build(stocked, PARTS + FIRMWARE, "other.efi")
        build(stocked, PARTS + FIRMWARE.replace("qemu:i440fx", "qemu:q35", 1).replace("qemu:q35", "qemu:i440fx", 1))
        edit(stocked, "--set", ".hwids=@other.efi:.hwids")
        assert content(stocked, ".hwids") == content(stocked, ".hwids", "other.efi")


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


@pytest.mark.parametrize("more", [[], ["-o", OUT, "--in-place"]])
def test_where_the_image_goes_is_said_once(stocked, more):
    build(stocked)
    outcome = invoke(stocked, "edit", "acme.efi", *more)
    assert outcome.code == 2
    assert "--output, or --in-place" in outcome.err


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


def test_every_byte_of_what_stays_is_read_once(stocked, monkeypatch):
    """Headers are looked at before, and what tells the kind of firmware; the bulk is not."""
    image = build(stocked, PARTS + FIRMWARE)
    succeed(stocked, "sign", "acme.efi", "--key", "db.key", "--certificate", "db.crt")
    ranges = []
    read = os.pread

    def pread(descriptor: int, length: int, offset: int) -> bytes:
        data = read(descriptor, length, offset)
        if os.path.samestat(os.fstat(descriptor), image.stat()):
            ranges.append((offset, offset + len(data)))
        return data

    monkeypatch.setattr(os, "pread", pread)
    edit(stocked, "--set", ".cmdline=x", "--key", "db.key", "--certificate", "db.crt")
    for name, _, offset, size, *_ in sections(image):
        if name in {".linux", ".efifw"}:
            # Firmware is recognised by its first MiB.
            for point in range(offset + size // 2, offset + size, size // 8):
                hits = [(start, end) for start, end in ranges if start <= point < end]
                assert len(hits) == 1, (name, offset, size, point, hits)
