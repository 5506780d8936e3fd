"""`fuki edit`: a finished image in which some things are others, held against the same built from its parts."""

import json
import os
from pathlib import Path

import pytest

from fuki_build.testing import partial_recipe, succeed
from tests.support.edited import OUT, PARTS, PROFILES, build, content, edit, names
from tests.support.rich import ADDONS, UKI, make_rich, sections
from tests.support.workshop import FIRMWARE, workshop_recipe

HAND_OVER = """
[fuki.hand-over]
interface = "vm-launch-update"
lasting = true
"""


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
