"""Images for every machine that EFI is specified for, on real stubs.

aa64 has a real kernel here, as x64 has in the other files. For the others systemd-boot stands in the kernel's place:
a real EFI program of that machine, with an SBAT table of its own.
"""

import filecmp
import subprocess
import sys
from pathlib import Path

import parts
import pefile
import pytest

from fuki_build.testing import recipe

AA64 = recipe(
    """
[[fuki.firmware]]
source = "directory"
path = "firmware/aavmf"
[[fuki.addon]]
name = "serial"
stub = "addon-stub-aa64"
cmdline = "earlycon"
[[fuki.addon]]
name = "bare"
cmdline = "earlycon"
""",
    stub="stub-aa64",
    linux="vmlinuz-aa64",
    initrd=["early.img", "odd.img"],
    os_release="os-release",
    cmdline="console=ttyAMA0",
    dtb="machine.dtb",
    dtbauto=["first.dtb", "second.dtb"],
    hwids="all-machines",
)
AA64_MACHINE = (
    '{"type": "uefi-fw", "name": "MSI MS-7D70", "fwid": "aavmf", "hwids": ["01e09b32-de05-56ca-b9d1-9486ad5f381d"]}'
)


@pytest.fixture(scope="module")
def aa64(tmp_path_factory, lay_out, build) -> Path:
    """An image of a real aa64 stub, kernel, firmware and devicetrees, beside its input."""
    directory: Path = lay_out(tmp_path_factory.mktemp("aa64"))
    for name in ("stub-aa64", "addon-stub-aa64"):
        (directory / name).symlink_to(parts.get(name))

    (directory / "vmlinuz-aa64").symlink_to(parts.get("kernel-aa64"))
    (directory / "firmware" / "aavmf").mkdir()
    (directory / "firmware" / "aavmf" / "QEMU_EFI.fd").symlink_to(parts.get("aavmf"))
    (directory / "all-machines").mkdir()

    for path in parts.get("hwids-aa64").glob("*.json"):
        (directory / "all-machines" / path.name).symlink_to(path)

    (directory / "all-machines" / "guest.json").write_text(AA64_MACHINE)
    (directory / "fuki.toml").write_text(AA64)
    return build(directory)


def test_an_image_for_aa64_is_ukify_s_byte_for_byte(aa64, ukify, pe):
    arguments = [
        "--efi-arch=aa64",
        "--stub=stub-aa64",
        "--linux=vmlinuz-aa64",
        "--initrd=early.img",
        "--initrd=odd.img",
        "--os-release=@os-release",
        "--cmdline=console=ttyAMA0",
        "--devicetree=machine.dtb",
        "--devicetree-auto=first.dtb",
        "--devicetree-auto=second.dtb",
        "--hwids=all-machines",
        "--efifw=firmware/aavmf",
        "--output=ukify.efi",
    ]
    ukify("build", *arguments, cwd=aa64.parent)
    assert pe(aa64).sections == pe(aa64.with_name("ukify.efi")).sections
    assert filecmp.cmp(aa64, aa64.with_name("ukify.efi"), shallow=False)


def test_an_addon_for_aa64_is_ukify_s_byte_for_byte(aa64, ukify):
    arguments = ["--stub=addon-stub-aa64", "--cmdline=earlycon", "--hwids=", "--output=addon.efi"]
    ukify("build", *arguments, cwd=aa64.parent)
    addon = aa64.with_name("image.efi.extra.d") / "serial.addon.efi"
    assert filecmp.cmp(addon, aa64.with_name("addon.efi"), shallow=False)


def test_an_addon_for_aa64_without_a_stub_has_the_sections_of_one_on_it(aa64, pe):
    bare, on_stub = (aa64.with_name("image.efi.extra.d") / f"{name}.addon.efi" for name in ("bare", "serial"))
    assert pe(bare).slice() == pe(on_stub).slice()
    assert pe(bare).headers["Machine"] == pe(on_stub).headers["Machine"]


def test_the_release_of_an_aa64_kernel_is_that_of_its_package(aa64, pe):
    release = parts.get("kernel-aa64").name.removeprefix("vmlinuz-")
    assert pe(aa64).content(".uname").decode() == release


def test_inspect_tells_machine_and_firmware_of_an_aa64_image(aa64, inspect):
    view = inspect(aa64)
    assert (view["arch"], view["stub"]["program"]) == ("aa64", "systemd-stub")
    (firmware,) = view["firmware"]
    assert (firmware["fwid"], firmware["size"]) == ("aavmf", parts.get("aavmf").stat().st_size)
    assert firmware["flaw"] is None


def fuki(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "fuki_build", *arguments]
    return subprocess.run(words, cwd=directory, capture_output=True, text=True, check=False)


def test_an_aa64_kernel_on_an_x64_stub_is_refused(directory):
    (directory / "vmlinuz").unlink()
    (directory / "vmlinuz").symlink_to(parts.get("kernel-aa64"))
    (directory / "fuki.toml").write_text(recipe())
    done = fuki(directory, "build")
    assert done.returncode == 1
    assert "the kernel is for aa64, the stub for x64" in done.stderr
    assert "kernel-not-startable" in done.stderr
    assert not list(directory.glob("*.efi"))


def test_an_x64_addon_stub_beside_an_aa64_image_is_refused(directory):
    (directory / "stub").unlink()
    (directory / "stub").symlink_to(parts.get("stub-aa64"))
    (directory / "fuki.toml").write_text(
        recipe('[[fuki.addon]]\nname = "serial"\nstub = "addon-stub"\ncmdline = "quiet"\n')
    )
    done = fuki(directory, "build")
    assert done.returncode == 2
    assert "fuki.addon[0].stub: the addon's stub is for x64, the image for aa64" in done.stderr


# Names by EFI; COFF numbers and kinds of optional header by the PE specification.
MACHINES = {
    "ia32": (0x014C, 0x10B),
    "arm": (0x01C2, 0x10B),
    "riscv64": (0x5064, 0x20B),
    "loongarch64": (0x6264, 0x20B),
}

OTHER = """
[[fuki.firmware]]
source = "directory"
path = "firmware/ovmf-amdsev"
hwids = "machines/a.json"
[[fuki.addon]]
name = "on-stub"
stub = "addon-stub"
cmdline = "quiet"
[[fuki.addon]]
name = "bare"
cmdline = "quiet"
"""


@pytest.fixture(scope="module", params=MACHINES)
def other(request, tmp_path_factory, lay_out, build) -> tuple[str, Path]:
    """A machine's name, and an image for it beside its input."""
    directory: Path = lay_out(tmp_path_factory.mktemp(request.param))
    for name, part in (("stub", "stub"), ("addon-stub", "addon-stub"), ("vmlinuz", "boot")):
        (directory / name).unlink()
        (directory / name).symlink_to(parts.get(f"{part}-{request.param}"))

    for name in ("b.json", "c.json"):
        (directory / "machines" / name).unlink()

    (directory / "fuki.toml").write_text(
        recipe(
            OTHER,
            silence=["kernel-is-image"],  # what stands in the kernel's place
            arch=request.param,
            uname="6.0-given",
            initrd=["early.img", "odd.img"],
            os_release="os-release",
        )
    )

    return request.param, build(directory)


def addon(other: tuple[str, Path], name: str) -> Path:
    return other[1].with_name("image.efi.extra.d") / f"{name}.addon.efi"


def test_an_image_for_another_machine_is_ukify_s_byte_for_byte(other, ukify, pe):
    arch, image = other
    arguments = [
        f"--efi-arch={arch}",
        "--stub=stub",
        "--linux=vmlinuz",
        "--uname=6.0-given",
        "--initrd=early.img",
        "--initrd=odd.img",
        "--os-release=@os-release",
        "--hwids=machines",
        "--efifw=firmware/ovmf-amdsev",
        "--output=ukify.efi",
    ]

    ukify("build", *arguments, cwd=image.parent)
    assert pe(image).sections == pe(image.with_name("ukify.efi")).sections
    assert filecmp.cmp(image, image.with_name("ukify.efi"), shallow=False)


def test_an_addon_for_another_machine_is_ukify_s_byte_for_byte(other, ukify):
    arguments = ["--stub=addon-stub", "--cmdline=quiet", "--hwids=", "--output=addon.efi"]
    ukify("build", *arguments, cwd=other[1].parent)
    assert filecmp.cmp(addon(other, "on-stub"), other[1].with_name("addon.efi"), shallow=False)


def test_an_addon_without_a_stub_is_a_pe_file_for_its_machine(other, inspect):
    path = addon(other, "bare")
    with pefile.PE(str(path), fast_load=True) as file:
        assert (file.FILE_HEADER.Machine, file.OPTIONAL_HEADER.Magic) == MACHINES[other[0]]
        assert file.OPTIONAL_HEADER.Subsystem == pefile.SUBSYSTEM_TYPE["IMAGE_SUBSYSTEM_EFI_APPLICATION"]
        # There is no code, and nothing else to wonder about.
        assert all("AddressOfEntryPoint" in warning for warning in file.get_warnings())
    assert inspect(path)["arch"] == other[0]


def test_an_addon_without_a_stub_has_the_sections_of_one_on_it(other, pe):
    assert pe(addon(other, "bare")).slice() == pe(addon(other, "on-stub")).slice()


def test_ukify_inspect_and_bootctl_read_an_addon_without_a_stub(other, ukify, bootctl):
    assert "quiet" in ukify("inspect", addon(other, "bare"))
    assert bootctl("kernel-identify", addon(other, "bare")).strip() == "addon"
