"""Sections that are larger in memory than in the file: zeros follow, of which the stub and firmware know nothing."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from fuki_build.errors import FormatError
from fuki_build.formats.pe import pe
from fuki_build.formats.uki import cpio
from fuki_build.image.inspect import inspect
from fuki_build.measure.boot import Boot, BootMethod
from fuki_build.measure.predict import Prediction, cases, predict
from fuki_build.measure.section_digests import SectionDigests
from tests.measure.test_predictions import contents_of, sha256
from tests.support.images import Content, layout_of, write
from tests.support.rich import authenticode

DIRECT = Boot(method=BootMethod.DIRECT)
CMDLINE: Content = (".cmdline", b"console=", None)


def enlarged(
    path: Path, sections: Sequence[Content], sizes: Mapping[str, int], stub: str = "stub-x64"
) -> SectionDigests:
    """An image whose headers give some sections these sizes in memory."""
    planned = layout_of(sections, stub)
    write(path, planned)
    headers = planned.headers.with_sections(
        tuple(
            header._replace(virtual_size=sizes.get(header.name, header.virtual_size))
            for header in planned.headers.sections
        )
    )
    with path.open("r+b") as file:
        file.write(pe.encode(headers))
    return contents_of(inspect(path))


def prediction_of(contents: SectionDigests) -> Prediction:
    (prediction,) = predict(contents, cases(contents.layout, None, [None]), DIRECT)
    return prediction


def test_zeros_stand_in_the_initrd_where_its_parts_have_them(tmp_path: Path):
    linux: Content = (".linux", b"kernel", None)
    parts: list[Content] = [linux, CMDLINE, (".initrd", b"initrd", None), (".ucode", b"micro", None)]
    for sizes, joined in (
        ({".initrd": 10}, b"micro\0\0\0" + b"initrd".ljust(12, b"\0")),
        ({".initrd": 9}, b"micro\0\0\0" + b"initrd".ljust(12, b"\0")),
        ({".ucode": 9}, b"micro".ljust(12, b"\0") + b"initrd\0\0"),
        ({".ucode": 8, ".initrd": 8}, b"micro\0\0\0" + b"initrd\0\0"),
    ):
        event = prediction_of(enlarged(tmp_path / "image.efi", parts, sizes)).events[-1]
        assert event.digests["sha256"] == sha256(joined)
    alone = enlarged(tmp_path / "image.efi", parts[:3], {".initrd": 10})
    assert prediction_of(alone).events[-1].digests["sha256"] == sha256(b"initrd\0\0\0\0")


def test_microcode_that_is_too_large_to_be_hashed_before_the_initrd_makes_it_unknown(tmp_path: Path):
    parts: list[Content] = [(".linux", b"kernel", None), CMDLINE, (".initrd", b"initrd", None), (".ucode", b"x", None)]
    prediction = prediction_of(enlarged(tmp_path / "image.efi", parts, {".ucode": (64 << 20) + 1}))
    event = prediction.events[-1]
    assert (event.unknown, event.digests, event.source) == ("its microcode is too large", {}, ".ucode + .initrd")
    assert prediction.value(9, "sha256") is None


def test_zeros_are_passed_on_and_end_a_command_line(tmp_path: Path):
    sections: list[Content] = [(".linux", b"kernel", None), CMDLINE, (".osrel", b"ID=x", None)]
    events = prediction_of(enlarged(tmp_path / "image.efi", sections, {".cmdline": 99, ".osrel": 6})).events
    options, initrd = events[-2:]
    assert options.what == "the kernel's options: console="
    archive = cpio.pack_literal(".extra", "os-release", b"ID=x\0\0", 0o555, 0o444)
    assert initrd.digests["sha256"] == sha256(archive)


def test_firmware_measures_an_unsigned_kernel_with_its_zeros(tmp_path: Path, part):
    """By Authenticode all behind the headers counts, to the end of what LoadImage is given."""
    kernel = part("stub-aa64").read_bytes()
    (tmp_path / "kernel").write_bytes(kernel + bytes(0x2000))
    sections: list[Content] = [(".linux", kernel, None), CMDLINE]
    contents = enlarged(tmp_path / "image.efi", sections, {".linux": len(kernel) + 0x2000}, "stub-257-x64")
    (event,) = (event for event in prediction_of(contents).events if event.source == ".linux")
    assert event.digests["sha256"].hex() == authenticode(tmp_path / "kernel")


def test_the_digest_of_a_signed_kernel_with_zeros_cannot_be_told(tmp_path: Path, part):
    kernel = part("kernel-x64").read_bytes()
    sections: list[Content] = [(".linux", kernel, None), CMDLINE]
    contents = enlarged(tmp_path / "image.efi", sections, {".linux": len(kernel) + 0x2000}, "stub-257-x64")
    (event,) = (event for event in prediction_of(contents).events if event.source == ".linux")
    assert "signed and larger in memory" in event.unknown


def test_text_of_more_than_a_mebibyte_in_memory_is_none(tmp_path: Path):
    sections: list[Content] = [(".linux", b"kernel", None), (".osrel", b"ID=x", None)]
    contents = enlarged(tmp_path / "image.efi", sections, {".linux": (1 << 20) + 1})
    with pytest.raises(FormatError, match=r"\.linux has 1048577 bytes, too many"):
        contents.data(contents.layout.find(".linux")[0])
    exact = enlarged(tmp_path / "image.efi", sections, {".linux": 1 << 20})
    assert exact.data(exact.layout.find(".linux")[0]) == b"kernel".ljust(1 << 20, b"\0")
