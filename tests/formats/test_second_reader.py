"""Our reading of PE headers held against pefile's, on images that the two read alike and on those that they do not."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from struct import pack_into, unpack_from

import pefile
import pytest
from msgspec.structs import replace

from fuki_build.formats.pe import pe, second_reader
from fuki_build.formats.pe.second_reader import SecondReader, SecondReading, read_again
from fuki_build.formats.reader import Reader
from tests.support.headers import ENTRY_POINT, RAW_OFFSET, SECTION_ALIGNMENT, changed, optional, section

Part = Callable[[str], Path]


def reading_of(data: bytes) -> SecondReading:
    head = data[: pe.HEAD_SIZE]
    return read_again(pe.decode(head, len(data)), head, len(data))


@pytest.mark.parametrize("name", ["stub-x64", "stub-ia32", "addon-stub-arm", "boot-riscv64", "kernel-aa64", "shim"])
def test_real_images_are_read_alike_and_without_a_warning(part: Part, name: str):
    assert reading_of(part(name).read_bytes()) == SecondReading()


def test_only_the_head_of_a_large_file_is_kept(part: Part):
    """With a whole file, pefile would keep all that is before the first section."""
    data = changed(part("stub-x64").read_bytes(), *(section(name, RAW_OFFSET, 0x40000000) for name in (".text",)))
    headers = pe.decode(data[: pe.HEAD_SIZE], 1 << 32)
    read: list[int] = []

    def read_at(offset: int, length: int) -> bytes:
        read.append(length)
        return data[offset : offset + length]

    assert SecondReader().read(headers, Reader(1 << 32, read_at)).dispute is None
    assert sum(read) <= pe.HEAD_SIZE


DIRECTORIES = {24 + 112 + 8 * 4: "data directory 4", 24 + 112 + 8 * 5 + 4: "data directory 5"}


@pytest.mark.parametrize(
    ("offset", "form", "value", "field"),
    [
        (4, "<H", 0xAA64, "Machine"),
        (24 + 16, "<I", 0x1234, "AddressOfEntryPoint"),
        (24 + 24, "<Q", 0x10000, "ImageBase"),
        (24 + 56, "<I", 0x1000, "SizeOfImage"),
        (24 + 68, "<H", 11, "Subsystem"),
        (24 + 112 + 8 * 4, "<I", 0x1234, "VirtualAddress"),
        (24 + 112 + 8 * 5 + 4, "<I", 0x1234, "Size"),
    ],
)
def test_a_field_that_is_read_differently_is_told_with_both_values(
    part: Part, offset: int, form: str, value: int, field: str
):
    """As a fault of ours would: pefile reads the changed file, our reading is that of the unchanged one."""
    data = part("stub-x64").read_bytes()
    headers = pe.decode(data[: pe.HEAD_SIZE], len(data))
    other = bytearray(data)
    pack_into(form, other, len(headers.dos) + offset, value)
    (difference,) = read_again(headers, bytes(other[: pe.HEAD_SIZE]), len(other)).differences
    assert (difference.field, difference.theirs) == (field, f"{value:#x}")
    assert difference.where == DIRECTORIES.get(offset)
    assert str(difference) == f"{field} is {difference.ours} to fuki, {value:#x} to pefile"
    assert int(difference.ours, 16) == unpack_from(form, data, len(headers.dos) + offset)[0]


@pytest.mark.parametrize(
    ("offset", "field"),
    [
        (0, "Name"),
        (8, "VirtualSize"),
        (12, "VirtualAddress"),
        (16, "SizeOfRawData"),
        (20, "PointerToRawData"),
        (36, "Characteristics"),
    ],
)
def test_a_section_that_is_read_differently_is_told_with_its_name(part: Part, offset: int, field: str):
    data = part("stub-x64").read_bytes()
    headers = pe.decode(data[: pe.HEAD_SIZE], len(data))
    other = bytearray(data)
    other[headers.section_table_offset + offset + 1] ^= 0x41
    differences = read_again(headers, bytes(other[: pe.HEAD_SIZE]), len(other)).differences
    assert [(d.field, d.where) for d in differences] == [(field, headers.sections[0].name)]


def test_both_names_of_a_section_are_told(part: Part):
    data = part("stub-x64").read_bytes()
    headers = pe.decode(data[: pe.HEAD_SIZE], len(data))
    other = bytearray(data)
    other[headers.section_table_offset : headers.section_table_offset + 8] = b".x\xff\0\0\0\0\0"
    (difference,) = read_again(headers, bytes(other[: pe.HEAD_SIZE]), len(other)).differences
    assert (difference.ours, difference.theirs) == (headers.sections[0].name, r".x\xff")


def test_what_pefile_warns_of_is_told_in_one_line_each_except_for_what_means_nothing(part: Part):
    """The alignment of sections is told; that no Windows 8 would run it is not, wherever it starts."""
    data = part("stub-x64").read_bytes()
    odd = reading_of(changed(data, optional(SECTION_ALIGNMENT, 0x800)))
    assert odd.differences == ()
    assert [warning.startswith("If SectionAlignment(0x800) < 0x1000") for warning in odd.warnings] == [True]
    assert "\n" not in odd.warnings[0]
    assert reading_of(changed(data, optional(ENTRY_POINT, 0x10))) == SecondReading()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (AttributeError("odd"), "AttributeError: odd"),
        (RecursionError("odd"), "RecursionError: odd"),
        (KeyError(), "KeyError"),
    ],
)
def test_a_refusal_is_told_with_its_kind(part: Part, monkeypatch: pytest.MonkeyPatch, error: Exception, told: str):
    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(pefile, "PE", broken)
    assert reading_of(part("stub-x64").read_bytes()).refusal == told


@pytest.mark.parametrize("error", [pefile.PEFormatError("odd"), AttributeError("odd"), RecursionError("odd")])
def test_whatever_pefile_raises_is_told(part: Part, monkeypatch: pytest.MonkeyPatch, error: Exception):
    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(pefile, "PE", broken)
    assert "odd" in (reading_of(part("stub-x64").read_bytes()).dispute or "")


def test_not_more_sections_are_read_than_an_image_can_honestly_have(part: Part):
    data = part("stub-x64").read_bytes()
    headers = pe.decode(data[: pe.HEAD_SIZE], len(data))
    reader = SecondReader()
    crowd = headers.with_sections(headers.sections[:1] * second_reader.MAX_SECTIONS)
    assert reader.read(crowd, Reader.of(data)).refusal is None
    single = headers.with_sections(headers.sections[:1])
    assert "sections" in (reader.read(single, Reader.of(data)).refusal or "")


@pytest.mark.parametrize("count", [0, 1])
def test_another_number_of_sections_is_told_once(part: Part, count: int):
    data = part("stub-x64").read_bytes()
    headers = pe.decode(data[: pe.HEAD_SIZE], len(data))
    fewer = headers.with_sections(headers.sections[:count])
    fields = [d.field for d in read_again(fewer, data[: pe.HEAD_SIZE], len(data)).differences]
    assert fields == ["NumberOfSections", "the number of sections"]


def test_another_number_of_directories_is_told_once(part: Part):
    data = part("stub-x64").read_bytes()
    headers = pe.decode(data[: pe.HEAD_SIZE], len(data))
    fewer = replace(headers, directories=headers.directories[:4])
    (difference,) = read_again(fewer, data[: pe.HEAD_SIZE], len(data)).differences
    assert (difference.field, difference.ours, difference.theirs) == ("the number of data directories", "0x4", "0x10")


def test_pefile_is_only_loaded_for_a_finished_image(part: Part):
    script = (
        "import sys; from fuki_build.cli.main import run; run(sys.argv[1:]); "
        "print('pefile' in sys.modules, file=sys.stderr)"
    )
    arguments = ["inspect", "--json", os.fspath(part("stub-x64"))]
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
    assert done.stderr == "False\n"
