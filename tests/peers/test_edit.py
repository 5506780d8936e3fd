"""Images of other people's tools, edited: what ukify builds anew from such parts, and what binutils and sbsign make."""

import filecmp
import sys
from collections.abc import Callable
from pathlib import Path

import parts
import pytest

from fuki_build.testing import partial_recipe, secure_boot

Edit = Callable[..., Path]

COMMON = ["--stub=stub", "--linux=vmlinuz", "--initrd=early.img", "--os-release=@os-release", "--hwids="]
EVERYTHING = [
    *COMMON,
    "--initrd=odd.img",
    "--microcode=ucode.img",
    "--splash=splash.bmp",
    "--devicetree=machine.dtb",
    "--devicetree-auto=first.dtb",
    "--devicetree-auto=second.dtb",
    "--pcrpkey=pcr.pem",
    "--section=.note:built for a test",
]
LINE = "--cmdline=root=LABEL=root"
ADDRESSES = {".osrel": 0x40000, ".cmdline": 0x50000, ".initrd": 0x60000, ".linux": 0x2000000}
"""Behind the stub, as in the instructions of those days."""


@pytest.fixture
def edit(tool) -> Edit:
    """Edit an image with fuki; gives the new one."""

    def run(image: Path, *arguments: object) -> Path:
        output = image.with_name("edited.efi")
        tool(sys.executable, "-m", "fuki_build", "edit", image, *arguments, "-o", output, cwd=image.parent)
        return output

    return run


@pytest.mark.parametrize("arguments", [COMMON, EVERYTHING], ids=["usual", "everything"])
def test_an_image_of_ukify_s_stays_the_same_file(directory, ukify, edit, arguments):
    ukify("build", *arguments, LINE, "--output=ukify.efi", cwd=directory)
    assert filecmp.cmp(edit(directory / "ukify.efi"), directory / "ukify.efi", shallow=False)


@pytest.mark.parametrize("release", ["ukify", "ukify-257"])
def test_another_command_line_gives_what_ukify_builds_with_it(directory, ukify, edit, pe, release):
    common = EVERYTHING
    if release == "ukify-257":
        # Without a directory of hardware ids it takes the current one.
        common = [word for word in [*EVERYTHING, "--hwids=hwids"] if word != "--hwids="]
    ukify("build", *common, LINE, "--output=ukify.efi", cwd=directory, release=release)
    ukify("build", *common, "--cmdline=quiet splash", "--output=again.efi", cwd=directory, release=release)
    edited = edit(directory / "ukify.efi", "--set", ".cmdline=quiet splash")
    assert pe(edited).sections == pe(directory / "again.efi").sections
    assert pe(edited).headers == pe(directory / "again.efi").headers


def test_firmware_is_added_as_ukify_does(directory, ukify, edit):
    ukify("build", *COMMON[:-1], LINE, "--hwids=", "--output=ukify.efi", cwd=directory)
    more = ["--hwids=machines", "--efifw=firmware/ovmf-amdsev", "--efifw=firmware/ovmf-generic"]
    ukify("build", *COMMON[:-1], LINE, *more, "--output=again.efi", cwd=directory)

    (directory / "part.toml").write_text(
        partial_recipe(
            '[[fuki.firmware]]\nsource = "directory"\npath = "firmware/ovmf-amdsev"\n'
            '[[fuki.firmware]]\nsource = "directory"\npath = "firmware/ovmf-generic"\n',
            hwids="machines",
        )
    )

    edited = edit(directory / "ukify.efi", "--recipe", "part.toml")
    assert filecmp.cmp(edited, directory / "again.efi", shallow=False)


def test_profiles_that_ukify_joined_are_changed_one_by_one(directory, ukify, edit):
    def join(line: str, output: str) -> Path:
        ukify("build", "--stub=addon-stub", "--profile=ID=debug", f"--cmdline={line}", "--hwids=",
              "--output=debug.profile.efi", cwd=directory)  # fmt: skip
        ukify("build", *COMMON, LINE, "--profile=ID=main", "--join-profile=debug.profile.efi",
              f"--output={output}", cwd=directory)  # fmt: skip
        return directory / output

    image = join("debug", "ukify.efi")
    again = join("more debug", "again.efi")
    assert filecmp.cmp(edit(image), image, shallow=False)
    assert filecmp.cmp(edit(image, "--set", ".cmdline@debug=more debug"), again, shallow=False)


def test_an_addon_of_ukify_s_is_changed(directory, ukify, edit):
    for line, output in (("a", "a.efi"), ("b", "b.efi")):
        ukify("build", "--stub=addon-stub", f"--cmdline={line}", f"--output={output}", "--hwids=", cwd=directory)
    assert filecmp.cmp(edit(directory / "a.efi", "--set", ".cmdline=b"), directory / "b.efi", shallow=False)


def test_signatures_of_sbsign_s_go_and_come(directory, ukify, edit, tool):
    identity = secure_boot.make_identity("Acme")
    key = secure_boot.write_key(directory / "db.key", identity.key)
    certificate = secure_boot.write_certificates(directory / "db.crt", identity.certificate)
    ukify("build", *COMMON, LINE, "--output=plain.efi", cwd=directory)
    image = directory / "signed.efi"
    tool("sbsign", "--key", key, "--cert", certificate, "--output", image, directory / "plain.efi")

    assert filecmp.cmp(edit(image), directory / "plain.efi", shallow=False)
    edited = edit(image, "--set", ".cmdline=quiet", "--key", key, "--certificate", certificate)
    assert "Signature verification OK" in tool("sbverify", "--cert", certificate, edited)


@pytest.fixture
def by_objcopy(directory, tool, pe) -> Path:
    """An image as people made them by hand before ukify."""
    (directory / "line").write_text("root=LABEL=root")
    files = {".osrel": "os-release", ".cmdline": "line", ".initrd": "early.img", ".linux": "vmlinuz"}
    base = pe(directory / "stub").headers["ImageBase"]
    options = []
    for name, file in files.items():
        options += ["--add-section", f"{name}={file}", "--change-section-vma", f"{name}={base + ADDRESSES[name]:#x}"]
    tool("objcopy", *options, "stub", "objcopy.efi", cwd=directory)
    return directory / "objcopy.efi"


def test_an_image_of_objcopy_s_keeps_its_sections(by_objcopy, edit, pe):
    before, after = pe(by_objcopy), pe(edit(by_objcopy))
    assert [section.as_loaded for section in after.sections] == [section.as_loaded for section in before.sections]
    own = {".text", ".rodata", ".data", ".reloc", ".sdmagic", ".sbat"}
    addresses = [{s.name: s.address for s in image.sections if s.name in own} for image in (before, after)]
    assert addresses[0] == addresses[1]
    assert after.headers["AddressOfEntryPoint"] == before.headers["AddressOfEntryPoint"]


def test_its_sections_stand_without_gaps_afterwards(by_objcopy, edit, tool):
    edited = edit(by_objcopy, "--set", ".cmdline=quiet")
    rows = [line.split() for line in tool("objdump", "-h", edited).splitlines() if line.strip()[:1].isdigit()]
    linux = next(int(row[3], 16) for row in rows if row[1] == ".linux")
    initrd = next(row for row in rows if row[1] == ".initrd")
    assert 0 < linux - int(initrd[3], 16) <= 0x1000 + int(initrd[2], 16)


def test_kernels_of_other_machines_keep_their_stub(tmp_path, ukify, edit):
    for name, part in (("stub", "stub-aa64"), ("vmlinuz", "kernel-aa64")):
        (tmp_path / name).symlink_to(parts.get(part))
    arguments = ["--stub=stub", "--linux=vmlinuz", "--os-release=", "--hwids=", "--efi-arch=aa64"]
    ukify("build", *arguments, "--cmdline=a", "--output=a.efi", cwd=tmp_path)
    ukify("build", *arguments, "--cmdline=b", "--output=b.efi", cwd=tmp_path)
    assert filecmp.cmp(edit(tmp_path / "a.efi", "--set", ".cmdline=b"), tmp_path / "b.efi", shallow=False)
