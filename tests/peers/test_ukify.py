"""Images of fuki and of ukify 262.1 from the same input: the same sections, the same headers, the same file.

ukify needs no PIL for a splash picture: it would only print its size.
"""

import filecmp
import os
from dataclasses import dataclass
from pathlib import Path

import parts
import pytest

from fuki_build.testing import recipe

NX_COMPAT = 0x0100

MINIMAL = recipe(os_release=None)

EVERYTHING = (
    MINIMAL
    + r"""
initrd = ["early.img", "odd.img", "late.img"]
cmdline = "  root=LABEL=root\tro \n  console=ttyS0 quiet "
os-release = "os-release"
ucode = "ucode.img"
splash = "splash.bmp"
dtb = "machine.dtb"
dtbauto = ["first.dtb", "second.dtb"]
hwids = "hwids"
pcrpkey = "pcr.pem"
[fuki.image.sections]
".note" = { text = "built for a test" }
".blob" = "blob"
"""
)

FROM_FILES = (
    MINIMAL
    + """
initrd = "odd.img"
cmdline = { file = "cmdline.txt" }
os-release = "os-release"
uname = "6.0-of-the-recipe"
sbat = { file = "sbat.csv" }
"""
)

FIRMWARE = (
    MINIMAL
    + """
initrd = "early.img"
os-release = "os-release"
cmdline = "root=LABEL=root"
hwids = "machines"
[[fuki.firmware]]
source = "directory"
path = "firmware/ovmf-generic"
[[fuki.firmware]]
source = "directory"
path = "firmware/ovmf-amdsev"
"""
)

FIRMWARE_WITH_ITS_HWIDS = (
    MINIMAL
    + """
initrd = "early.img"
os-release = "os-release"
cmdline = "root=LABEL=root"
[[fuki.firmware]]
source = "directory"
path = "firmware/ovmf-amdsev"
hwids = "machines/a.json"
[[fuki.firmware]]
source = "file"
path = "firmware/ovmf-generic/OVMF.fd"
id = "ovmf-generic"
hwids = ["machines/b.json", "machines/c.json"]
"""
)

INPUTS = ["--stub=stub", "--linux=vmlinuz", "--output=ukify.efi"]
# Without these, ukify takes what the machine has that it runs on.
NOTHING = ["--os-release=", "--hwids="]
_FILES = [
    "--initrd=early.img",
    "--initrd=odd.img",
    "--initrd=late.img",
    "--os-release=@os-release",
    "--microcode=ucode.img",
    "--splash=splash.bmp",
    "--devicetree=machine.dtb",
    "--devicetree-auto=first.dtb",
    "--devicetree-auto=second.dtb",
    "--hwids=hwids",
    "--pcrpkey=pcr.pem",
    "--cmdline=  root=LABEL=root\tro \n  console=ttyS0 quiet ",
    "--section=.note:built for a test",
    "--section=.blob:@blob",
]
_FIRMWARE_FILES = ["--initrd=early.img", "--os-release=@os-release", "--cmdline=root=LABEL=root", "--hwids=machines"]

RECIPES = {
    "minimal": (MINIMAL, NOTHING),
    "on an older stub": (MINIMAL.replace('"stub"', '"stub-257"'), ["--stub=stub-257", *NOTHING]),
    "everything": (EVERYTHING, _FILES),
    "from files": (
        FROM_FILES,
        [
            "--initrd=odd.img",
            "--cmdline=@cmdline.txt",
            "--os-release=@os-release",
            "--uname=6.0-of-the-recipe",
            "--sbat=@sbat.csv",
            "--hwids=",
        ],
    ),
    "firmware": (FIRMWARE, [*_FIRMWARE_FILES, "--efifw=firmware/ovmf-generic", "--efifw=firmware/ovmf-amdsev"]),
    "firmware with its hwids": (
        FIRMWARE_WITH_ITS_HWIDS,
        [*_FIRMWARE_FILES, "--efifw=firmware/ovmf-amdsev", "--efifw=firmware/ovmf-generic"],
    ),
}


@dataclass(frozen=True)
class Pair:
    ours: Path
    theirs: Path


@pytest.fixture(scope="module", params=RECIPES)
def pair(request, tmp_path_factory, lay_out, build, ukify) -> Pair:
    recipe, arguments = RECIPES[request.param]
    directory: Path = lay_out(tmp_path_factory.mktemp("pair"))
    (directory / "fuki.toml").write_text(recipe)
    ukify("build", *INPUTS, *arguments, cwd=directory)
    return Pair(build(directory), directory / "ukify.efi")


def test_the_sections_their_bytes_and_their_places_are_those_of_ukify(pair, pe):
    assert pe(pair.ours).sections == pe(pair.theirs).sections


def test_the_headers_are_those_of_ukify(pair, pe):
    assert pe(pair.ours).headers == pe(pair.theirs).headers


def test_the_file_is_ukify_s_byte_for_byte(pair):
    assert filecmp.cmp(pair.ours, pair.theirs, shallow=False)


def test_a_kernel_without_nx_compat_takes_it_from_the_image_as_with_ukify(directory, build, ukify, pe):
    kernel = bytearray(parts.get("kernel-x64").read_bytes())
    # The PE signature's place, the signature, the COFF header, DllCharacteristics in the optional header.
    at = int.from_bytes(kernel[0x3C:0x40], "little") + 4 + 20 + 70
    flags = int.from_bytes(kernel[at : at + 2], "little")
    assert flags & NX_COMPAT
    assert pe(parts.get("stub-x64")).headers["DllCharacteristics"] & NX_COMPAT
    kernel[at : at + 2] = (flags & ~NX_COMPAT).to_bytes(2, "little")
    (directory / "vmlinuz").unlink()
    (directory / "vmlinuz").write_bytes(kernel)
    (directory / "fuki.toml").write_text(MINIMAL)
    ukify("build", *INPUTS, *NOTHING, cwd=directory)
    ours = build(directory)
    assert not pe(ours).headers["DllCharacteristics"] & NX_COMPAT

    assert filecmp.cmp(ours, directory / "ukify.efi", shallow=False)


def test_one_sbat_line_in_two_tables_stands_once_in_ours_and_twice_in_ukify_s(directory, build, ukify, pe):
    (directory / "again.csv").write_bytes(pe(parts.get("stub-x64")).content(".sbat").rstrip(b"\0"))
    (directory / "fuki.toml").write_text(MINIMAL + 'sbat = { file = "again.csv" }\n')
    ukify("build", *INPUTS, *NOTHING, "--sbat=@again.csv", cwd=directory)
    ours = pe(build(directory)).content(".sbat").decode().splitlines()
    theirs = pe(directory / "ukify.efi").content(".sbat").decode().splitlines()
    assert len(theirs) > len(ours)
    assert ours == list(dict.fromkeys(theirs))


def test_the_kernel_s_release_is_read_as_ukify_reads_it(directory, build, pe):
    (directory / "fuki.toml").write_text(MINIMAL)
    name = os.path.realpath(parts.get("kernel-x64")).rpartition("vmlinuz-")[2]
    assert pe(build(directory)).content(".uname").decode() == name
