"""Rules about the PE file and the kernel in it, on finished images that were changed in one place."""

from collections.abc import Sequence
from pathlib import Path
from struct import pack_into

import parts
import pytest
from fuki_qemu import PROBE

from fuki_build.checks.run import check
from fuki_build.hooks.rules import Finding
from fuki_build.image.image import ImageKind
from fuki_build.image.inspect import inspect
from fuki_build.pipeline import new_host
from tests.support.headers import (
    ADDRESS,
    ENTRY_POINT,
    FLAGS,
    IMAGE_BASE,
    MAJOR_IMAGE_VERSION,
    RAW_OFFSET,
    RELOCATIONS,
    SECTION_ALIGNMENT,
    SIZE_OF_IMAGE,
    SUBSYSTEM,
    VIRTUAL_SIZE,
    Change,
    changed,
    directory,
    optional,
    section,
    seventeen_directories,
)
from tests.support.images import Content, layout_of, write

KERNEL = PROBE.read_bytes()
CONTENTS: tuple[Content, ...] = (
    (".osrel", b"ID=acme\nPRETTY_NAME=Acme\n", None),
    (".cmdline", b"quiet", None),
    (".uname", b"6.12-acme", None),
    (".linux", KERNEL, None),
)


def stub_says(text: bytes) -> Change:
    def change(data: bytearray) -> None:
        at = data.index(b"LoaderInfo: systemd-stub 262.1")
        data[at : at + len(text)] = text

    return change


def findings(
    path: Path,
    *changes: Change,
    contents: Sequence[Content] = CONTENTS,
    stub: str | None = "stub-x64",
    addon: bool = False,
) -> list[Finding]:
    write(path, layout_of(contents, stub, ImageKind.ADDON if addon else ImageKind.UKI))
    path.write_bytes(changed(path.read_bytes(), *changes))
    return list(check(new_host(), [inspect(path)]))


def with_kernel(kernel: bytes) -> tuple[Content, ...]:
    return (*CONTENTS[:-1], (".linux", kernel, None))


def with_cmdline(cmdline: bytes) -> tuple[Content, ...]:
    return (CONTENTS[0], (".cmdline", cmdline, None), *CONTENTS[2:])


MANY = (*CONTENTS, *((f".x{number}", b"x", None) for number in range(16)))

WRONG: dict[str, tuple[Change, ...]] = {
    "sections-overlap": (section(".osrel", ADDRESS, 0x2A000),),
    "sections-overlap with the kernel as a tool with fixed addresses makes it": (
        section(".uname", VIRTUAL_SIZE, 0x3000),
    ),
    "size-of-image": (optional(SIZE_OF_IMAGE, 0x2B000),),
    "section-unaligned": (section(".osrel", ADDRESS, 0x29010),),
    "virtual-size-zero": (section(".cmdline", VIRTUAL_SIZE, 0),),
    "section-in-headers": (section(".osrel", ADDRESS, 0x100),),
    "section-in-headers of the file": (section(".osrel", RAW_OFFSET, 0x200),),
    "entry-point": (optional(ENTRY_POINT, 0x100),),
    "entry-point behind all": (optional(ENTRY_POINT, 0x7FFFFFFF),),
    "relocations-outside": (directory(5, 0x7FFFF000, 12),),
    "relocations-outside with a size that runs out": (directory(5, 0x28000, 0x10000000),),
    "not-an-application": (optional(SUBSYSTEM, 11, "<H"),),
    "writable-code": (section(".text", FLAGS, 0xE0000020),),
    "offset-unaligned": (section(".osrel", RAW_OFFSET, 0x410),),
    "headers-disputed for a 17th data directory": (seventeen_directories,),
    "headers-suspicious": (section(".osrel", RAW_OFFSET, 0x410),),
    "headers-suspicious for a 17th data directory": (seventeen_directories,),
    "stub-not-a-stub": (stub_says(b"LoaderInfo: systemd-boot 262.1"),),
}


@pytest.mark.parametrize("name", WRONG)
def test_the_wrong_image_is_found_with_the_place(tmp_path: Path, name: str):
    rule = name.split(maxsplit=1)[0]
    hits = [finding for finding in findings(tmp_path / "image.efi", *WRONG[name]) if finding.rule == rule]
    assert hits
    assert all(finding.where for finding in hits)


def test_the_right_image_has_no_findings(tmp_path: Path):
    assert findings(tmp_path / "image.efi") == []


def test_an_image_of_many_sections_gets_a_note_with_the_number(tmp_path: Path):
    (complaint,) = findings(tmp_path / "image.efi", contents=MANY)
    assert (complaint.rule, complaint.severity) == ("section-count", "note")
    assert "26 sections" in complaint.message
    assert findings(tmp_path / "image.efi", contents=MANY[:-1]) == []


def test_an_addon_needs_no_entry_point(tmp_path: Path):
    assert findings(tmp_path / "a.addon.efi", contents=[(".cmdline", b"quiet", None)], stub=None, addon=True) == []


def test_a_program_without_nx_compat_may_have_writable_code(tmp_path: Path):
    changes = section(".text", FLAGS, 0xE0000020), optional(70, 0, "<H")
    assert findings(tmp_path / "image.efi", *changes) == []


KERNELS: dict[str, tuple[bytes, tuple[Change, ...], str]] = {
    # What the kernel is, what else of the image differs, and what is found.
    "kernel-refused for base relocations": (changed(KERNEL, directory(5, 0x1000, 12)), (), "base relocations"),
    "kernel-refused for relocations of a section": (changed(KERNEL, section(".text", RELOCATIONS, 1)), (), ".text"),
    "kernel-refused for a section that is cut in memory": (
        changed(KERNEL, section(".text", VIRTUAL_SIZE, 1)), (), "in memory",
    ),
    "kernel-refused for a section too long": (changed(KERNEL, optional(SIZE_OF_IMAGE, 0x1000)), (), "SizeOfImage"),
    "kernel-refused for an image base under 258.2": (
        changed(KERNEL, optional(IMAGE_BASE, 0x1000000, "<Q")),
        (stub_says(b"LoaderInfo: systemd-stub 258.2"),),
        "ImageBase 0x1000000",
    ),
    "kernel-alignment under 260": (
        changed(KERNEL, optional(SECTION_ALIGNMENT, 0x10000)),
        (stub_says(b"LoaderInfo: systemd-stub 260.1"),),
        "64 KiB",
    ),
    "kernel-not-startable for another machine": (parts.get("stub-aa64").read_bytes(), (), "for aa64"),
    "kernel-is-image for a boot loader": (parts.get("boot-x64").read_bytes(), (), "systemd-boot"),
    "kernel-is-image for a stub": (parts.get("stub-x64").read_bytes(), (), "the stub for images"),
}  # fmt: skip


@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_that_the_stub_cannot_start_is_found(tmp_path: Path, name: str):
    kernel, changes, message = KERNELS[name]
    complaints = findings(tmp_path / "image.efi", *changes, contents=with_kernel(kernel))
    assert any(finding.rule == name.split(maxsplit=1)[0] and message in finding.message for finding in complaints)
    assert all(finding.where == ".linux" for finding in complaints)


@pytest.mark.parametrize(
    ("version", "change"),
    [
        (b"257.9", directory(5, 0x1000, 12)),
        (b"257.9", optional(SECTION_ALIGNMENT, 0x10000)),
        (b"258.3", optional(IMAGE_BASE, 0x1000000, "<Q")),
        (b"259.1", optional(IMAGE_BASE, 0x1000000, "<Q")),
        (b"262.1", optional(SECTION_ALIGNMENT, 0x10000)),
    ],
)
def test_stubs_before_and_after_start_such_kernels(tmp_path: Path, version: bytes, change: Change):
    kernel = changed(KERNEL, change)
    says = stub_says(b"LoaderInfo: systemd-stub " + version)
    assert findings(tmp_path / "image.efi", says, contents=with_kernel(kernel)) == []


def test_an_image_in_an_image_is_found_once(tmp_path: Path):
    inner = write(tmp_path / "inner.efi", layout_of(CONTENTS)).read_bytes()
    (complaint,) = findings(tmp_path / "image.efi", contents=with_kernel(inner))
    assert (complaint.rule, complaint.where) == ("kernel-is-image", ".linux")


def test_a_kernel_before_5_8_is_found_where_there_is_no_other_way_to_start_it(tmp_path: Path):
    old = changed(parts.get("kernel-aa64").read_bytes(), optional(MAJOR_IMAGE_VERSION, 0, "<H"))
    complaints = findings(tmp_path / "image.efi", contents=with_kernel(old), stub="stub-aa64")
    assert [f.rule for f in complaints] == ["kernel-not-startable"]
    old = changed(KERNEL, optional(MAJOR_IMAGE_VERSION, 0, "<H"))
    assert findings(tmp_path / "image.efi", contents=with_kernel(old)) == []


def test_an_x64_kernel_starts_from_a_stub_for_ia32_where_it_tells_how(tmp_path: Path):
    mixed = parts.get("kernel-x64").read_bytes()
    assert findings(tmp_path / "image.efi", contents=with_kernel(mixed), stub="stub-ia32") == []
    (complaint,) = findings(tmp_path / "image.efi", contents=CONTENTS, stub="stub-ia32")
    assert complaint.rule == "kernel-not-startable"


@pytest.mark.parametrize("cmdline", [b"\0", b" \n\0"])
def test_an_empty_command_line_is_found_under_stubs_that_hang_at_it(tmp_path: Path, cmdline: bytes):
    old = stub_says(b"LoaderInfo: systemd-stub 255.1")
    (complaint,) = findings(tmp_path / "image.efi", old, contents=with_cmdline(cmdline))
    assert (complaint.rule, complaint.where) == ("cmdline-empty", ".cmdline")
    # This one was booted.
    assert findings(tmp_path / "image.efi", contents=with_cmdline(cmdline)) == []


CMDLINES = {
    b"quiet\0splash": "cmdline-altered",
    b"name=caf\xe9": "cmdline-altered",
    "name=\U0001f427".encode(): "cmdline-altered",
    b"x" * 2048: "cmdline-too-long",
}


@pytest.mark.parametrize("cmdline", CMDLINES, ids=CMDLINES.values())
def test_a_command_line_that_does_not_arrive_whole_is_found(tmp_path: Path, cmdline: bytes):
    (complaint,) = findings(tmp_path / "image.efi", contents=with_cmdline(cmdline))
    assert (complaint.rule, complaint.where) == (CMDLINES[cmdline], ".cmdline")


@pytest.mark.parametrize(
    "cmdline", [b"x" * 2047, b"  " + b"x" * 2047 + b"\n\0", b"quiet\n", "café".encode(), b"a\nb\0\0"]
)
def test_a_command_line_that_arrives_whole_is_not(tmp_path: Path, cmdline: bytes):
    assert findings(tmp_path / "image.efi", contents=with_cmdline(cmdline)) == []


@pytest.mark.parametrize(
    ("stub", "release", "limit"),
    [
        ("stub-aa64", b"6.12", 2047),
        ("stub-arm", b"6.12", 1023),
        ("stub-riscv64", b"6.12", 1023),
        ("stub-riscv64", b"7.1.2", 2047),
        ("stub-loongarch64", b"6.12", 4095),
        ("stub-ia32", b"6.12", 2047),
    ],
)
def test_the_limit_is_that_of_the_kernel_s_architecture(tmp_path: Path, stub: str, release: bytes, limit: int):
    for size in (limit, limit + 1):
        contents = ((".cmdline", b"x" * size, None), (".uname", release, None), (".linux", b"MZ", None))
        rules = {f.rule for f in findings(tmp_path / "image.efi", contents=contents, stub=stub)}
        assert ("cmdline-too-long" in rules) is (size > limit)


def test_an_x86_kernel_tells_its_own_limit(tmp_path: Path):
    kernel = bytearray(parts.get("kernel-x64").read_bytes())
    pack_into("<I", kernel, 0x238, 4095)  # cmdline_size of the setup header (the kernel's boot.rst)
    contents = (*with_cmdline(b"x" * 4095)[:-1], (".linux", bytes(kernel), None))
    assert findings(tmp_path / "image.efi", contents=contents) == []


def test_a_profile_s_command_line_is_held_against_the_kernel_of_that_profile(tmp_path: Path):
    contents = (*CONTENTS, (".profile", b"ID=a\n", 0), (".profile", b"ID=b\n", 1), (".cmdline", b"x" * 2048, 1))
    (complaint,) = findings(tmp_path / "image.efi", contents=contents)
    assert (complaint.rule, complaint.where) == ("cmdline-too-long", "@1 .cmdline")


ADDON = ((".cmdline", b"debug", None), (".uname", b"6.12-acme", None))


@pytest.mark.parametrize(
    ("stub", "release", "expected"),
    [
        ("stub-x64", b"6.12-acme", []),
        ("stub-x64", b"6.13-acme", ["addon-uname"]),
        ("stub-aa64", b"6.12-acme", ["addon-machine"]),
    ],
)
def test_an_addon_is_held_against_its_image(tmp_path: Path, stub: str, release: bytes, expected: list[str]):
    contents = tuple((name, release if name == ".uname" else data, None) for name, data, _ in CONTENTS)
    image = inspect(write(tmp_path / "image.efi", layout_of(contents, stub)))
    addon = inspect(write(tmp_path / "a.addon.efi", layout_of(ADDON, None, ImageKind.ADDON)))
    rules = [f.rule for f in check(new_host(), [image, addon]) if f.rule.startswith("addon")]
    assert rules == expected
    assert [f.rule for f in check(new_host(), [addon])] == []
