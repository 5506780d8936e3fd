import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from struct import pack, pack_into

import parts
import pefile
import pytest
from msgspec.structs import replace

from fuki_build.errors import FormatError
from fuki_build.formats.pe import pe
from fuki_build.formats.pe.minimal_image import minimal_image

Part = Callable[[str], Path]

STUBS = ("stub-x64", "stub-aa64", "addon-stub-x64", "addon-stub-aa64", "stub-257-x64")
IMAGES = (*STUBS, "kernel-x64", "kernel-aa64")

OPTIONAL_FIELDS = {
    "magic": "Magic",
    "major_linker_version": "MajorLinkerVersion",
    "minor_linker_version": "MinorLinkerVersion",
    "size_of_code": "SizeOfCode",
    "size_of_initialized_data": "SizeOfInitializedData",
    "size_of_uninitialized_data": "SizeOfUninitializedData",
    "address_of_entry_point": "AddressOfEntryPoint",
    "base_of_code": "BaseOfCode",
    "image_base": "ImageBase",
    "section_alignment": "SectionAlignment",
    "file_alignment": "FileAlignment",
    "major_os_version": "MajorOperatingSystemVersion",
    "minor_os_version": "MinorOperatingSystemVersion",
    "major_image_version": "MajorImageVersion",
    "minor_image_version": "MinorImageVersion",
    "major_subsystem_version": "MajorSubsystemVersion",
    "minor_subsystem_version": "MinorSubsystemVersion",
    "win32_version": "Reserved1",
    "size_of_image": "SizeOfImage",
    "size_of_headers": "SizeOfHeaders",
    "checksum": "CheckSum",
    "subsystem": "Subsystem",
    "dll_characteristics": "DllCharacteristics",
    "size_of_stack_reserve": "SizeOfStackReserve",
    "size_of_stack_commit": "SizeOfStackCommit",
    "size_of_heap_reserve": "SizeOfHeapReserve",
    "size_of_heap_commit": "SizeOfHeapCommit",
    "loader_flags": "LoaderFlags",
    "number_of_directories": "NumberOfRvaAndSizes",
}
COFF_FIELDS = {
    "machine": "Machine",
    "number_of_sections": "NumberOfSections",
    "time_date_stamp": "TimeDateStamp",
    "symbol_table": "PointerToSymbolTable",
    "number_of_symbols": "NumberOfSymbols",
    "size_of_optional_header": "SizeOfOptionalHeader",
    "characteristics": "Characteristics",
}
SECTION_FIELDS = {
    "virtual_size": "Misc_VirtualSize",
    "virtual_address": "VirtualAddress",
    "raw_size": "SizeOfRawData",
    "raw_offset": "PointerToRawData",
    "relocations": "PointerToRelocations",
    "line_numbers": "PointerToLinenumbers",
    "number_of_relocations": "NumberOfRelocations",
    "number_of_line_numbers": "NumberOfLinenumbers",
    "flags": "Characteristics",
}


def decode_file(path: Path) -> pe.PeHeaders:
    with path.open("rb") as file:
        return pe.decode(file.read(pe.HEAD_SIZE), path.stat().st_size)


def assert_same(ours: object, theirs: object, names: dict[str, str]) -> None:
    assert {name: getattr(ours, name) for name in names} == {name: getattr(theirs, names[name]) for name in names}


def assert_same_headers(ours: pe.PeHeaders, theirs: pefile.PE) -> None:
    assert_same(ours.coff, theirs.FILE_HEADER, COFF_FIELDS)
    assert_same(ours.optional, theirs.OPTIONAL_HEADER, OPTIONAL_FIELDS)
    assert len(ours.sections) == len(theirs.sections)
    for our_section, their_section in zip(ours.sections, theirs.sections, strict=True):
        assert our_section.raw_name == their_section.Name
        assert_same(our_section, their_section, SECTION_FIELDS)
    directories = theirs.OPTIONAL_HEADER.DATA_DIRECTORY
    assert [tuple(d) for d in ours.directories] == [(d.VirtualAddress, d.Size) for d in directories]


@pytest.mark.parametrize("name", IMAGES)
def test_headers_of_real_images_are_those_that_pefile_reads(part: Part, name: str):
    with pefile.PE(part(name), fast_load=True) as theirs:
        assert_same_headers(decode_file(part(name)), theirs)


@pytest.mark.parametrize("name", IMAGES)
def test_the_places_of_fields_are_those_that_pefile_finds(part: Part, name: str):
    headers = decode_file(part(name))
    with pefile.PE(part(name), fast_load=True) as theirs:
        optional = theirs.OPTIONAL_HEADER
        assert headers.optional_offset == optional.get_file_offset()
        assert headers.checksum_offset == optional.get_field_absolute_offset("CheckSum")
        assert headers.size_of_image_offset == optional.get_field_absolute_offset("SizeOfImage")
        assert headers.directories_offset == optional.DATA_DIRECTORY[0].get_file_offset()
        in_file_order = sorted(theirs.sections, key=lambda section: section.get_file_offset())
        assert headers.section_table_offset == in_file_order[0].get_file_offset()
        assert [headers.virtual_size_offset(index) for index in range(len(headers.sections))] == [
            section.get_field_absolute_offset("Misc_VirtualSize") for section in in_file_order
        ]


@pytest.mark.parametrize("name", ["stub-x64", "addon-stub-x64", "stub-257-x64", "kernel-x64"])
def test_sections_of_real_images_are_those_that_objdump_lists(part: Part, name: str):
    listing = subprocess.run(["objdump", "-h", part(name)], capture_output=True, text=True, check=True).stdout
    row_pattern = r"^ +\d+ (\S+) +([0-9a-f]{8}) +([0-9a-f]{16}) +[0-9a-f]{16} +([0-9a-f]{8})"
    rows = re.findall(row_pattern, listing, re.MULTILINE)
    theirs = [(row[0], *(int(number, 16) for number in row[1:])) for row in rows]
    headers = decode_file(part(name))
    base = headers.optional.image_base
    assert [(s.name, s.content_size, base + s.virtual_address, s.raw_offset) for s in headers.sections] == theirs


@pytest.mark.parametrize("name", STUBS)
def test_encoding_the_headers_of_a_real_stub_gives_its_bytes(part: Part, name: str):
    headers = decode_file(part(name))
    assert pe.encode(headers) == part(name).read_bytes()[: headers.optional.size_of_headers]


@pytest.mark.parametrize("name", ["kernel-x64", "kernel-aa64"])
def test_encoding_the_headers_of_a_real_kernel_gives_its_bytes_up_to_the_end_of_the_table(part: Part, name: str):
    headers = decode_file(part(name))
    end = headers.section_table_offset + len(headers.sections) * pe.SECTION_HEADER_SIZE
    assert pe.encode(headers)[:end] == part(name).read_bytes()[:end]


# Counted in the section tables of systemd 257 and 262.1.
@pytest.mark.parametrize(("name", "slots"), [("stub-x64", 497), ("addon-stub-x64", 15), ("stub-257-x64", 24)])
def test_free_slots_are_those_known_of_systemds_stubs(part: Part, name: str, slots: int):
    assert decode_file(part(name)).free_slots == slots


def test_all_free_slots_can_be_filled_and_one_more_is_refused(part: Part):
    headers = decode_file(part("stub-257-x64"))
    extra = headers.sections[-1]
    full = headers.with_sections(headers.sections + (extra,) * headers.free_slots)
    assert full.free_slots == 0
    assert len(pe.encode(full)) == headers.optional.size_of_headers
    with pytest.raises(FormatError, match="do not fit"):
        pe.encode(full.with_sections((*full.sections, extra)))


def test_slots_end_where_the_first_sections_data_begins():
    headers = minimal_image(pe.CoffMachine.x64, slots=20)
    content = pe.SectionHeader(
        raw_name=b".cmdline",
        virtual_size=5,
        virtual_address=0x1000,
        raw_size=0x200,
        raw_offset=0,
        relocations=0,
        line_numbers=0,
        number_of_relocations=0,
        number_of_line_numbers=0,
        flags=0x40000040,
    )
    room = headers.section_table_offset + 3 * pe.SECTION_HEADER_SIZE
    assert headers.with_sections((content._replace(raw_offset=room),)).free_slots == 2


@pytest.mark.parametrize(
    ("name", "machine"), [("stub-x64", "x64"), ("stub-aa64", "aa64"), ("kernel-x64", "x64"), ("kernel-aa64", "aa64")]
)
def test_the_machine_is_named_as_in_efi_file_names(part: Part, name: str, machine: str):
    assert decode_file(part(name)).machine_name == machine


def test_a_machine_without_a_name_is_its_number():
    assert pe.machine_name(0x0200) == "0x0200"


@pytest.mark.parametrize("name", ["kernel-x64", "kernel-aa64"])
def test_the_certificate_table_of_a_signed_kernel_is_where_pefile_finds_it(part: Part, name: str):
    with pefile.PE(part(name), fast_load=True) as theirs:
        entry = theirs.OPTIONAL_HEADER.DATA_DIRECTORY[4]
        assert entry.name == "IMAGE_DIRECTORY_ENTRY_SECURITY"
        assert decode_file(part(name)).security == (entry.VirtualAddress, entry.Size)


def test_an_unsigned_stub_has_no_certificate_table(part: Part):
    assert decode_file(part("stub-x64")).security == (0, 0)


@pytest.mark.parametrize("machine", list(pe.CoffMachine))
def test_pefile_reads_a_minimal_image_as_it_was_meant(machine: pe.CoffMachine):
    headers = minimal_image(machine, slots=3)
    content = pe.SectionHeader(
        raw_name=b".cmdline",
        virtual_size=5,
        virtual_address=0x1000,
        raw_size=0x200,
        raw_offset=headers.optional.size_of_headers,
        relocations=0,
        line_numbers=0,
        number_of_relocations=0,
        number_of_line_numbers=0,
        flags=0x40000040,
    )
    headers = headers.with_sections((content,))
    with pefile.PE(data=pe.encode(headers) + b"quiet".ljust(0x200, b"\0")) as theirs:
        assert_same_headers(headers, theirs)
        wide = machine not in (pe.CoffMachine.ia32, pe.CoffMachine.arm)
        assert (0x20B if wide else 0x10B) == theirs.PE_TYPE
        assert theirs.sections[0].get_data().rstrip(b"\0") == b"quiet"


# Flags by the PE format specification, without the prefix IMAGE_FILE_.
STRIPPED = {"EXECUTABLE_IMAGE", "LINE_NUMS_STRIPPED", "LOCAL_SYMS_STRIPPED", "DEBUG_STRIPPED"}


@pytest.mark.parametrize("machine", list(pe.CoffMachine))
def test_a_minimal_image_is_an_efi_application_and_nothing_else(machine: pe.CoffMachine):
    data = pe.encode(minimal_image(machine, slots=3))
    wide = machine not in (pe.CoffMachine.ia32, pe.CoffMachine.arm)
    with pefile.PE(data=data, fast_load=True) as theirs:
        header, optional = theirs.FILE_HEADER, theirs.OPTIONAL_HEADER
        flags = {name for name, bit in pefile.image_characteristics if header.Characteristics & bit}
        word = "LARGE_ADDRESS_AWARE" if wide else "32BIT_MACHINE"
        assert flags == {f"IMAGE_FILE_{name}" for name in (*STRIPPED, word)}
        assert (header.TimeDateStamp, header.PointerToSymbolTable, header.NumberOfSymbols) == (0, 0, 0)
        assert optional.Subsystem == pefile.SUBSYSTEM_TYPE["IMAGE_SUBSYSTEM_EFI_APPLICATION"]
        assert optional.DllCharacteristics == pefile.DLL_CHARACTERISTICS["IMAGE_DLLCHARACTERISTICS_NX_COMPAT"]
        assert optional.SizeOfImage == optional.SectionAlignment == 0x1000
        assert [(d.VirtualAddress, d.Size) for d in optional.DATA_DIRECTORY] == [(0, 0)] * 16
    assert data[:0x40] == b"MZ" + bytes(0x3A) + pack("<I", 0x40)


@pytest.mark.parametrize("machine", list(pe.CoffMachine))
def test_a_minimal_image_has_the_slots_that_were_asked_for(machine: pe.CoffMachine):
    assert minimal_image(machine, slots=17).free_slots >= 17


@pytest.mark.parametrize("machine", list(pe.CoffMachine))
def test_a_minimal_image_decodes_to_itself(machine: pe.CoffMachine):
    headers = minimal_image(machine, slots=3)
    data = pe.encode(headers)
    assert pe.decode(data, len(data)) == headers


def test_the_content_of_a_section_is_what_is_both_in_the_file_and_loaded(part: Part):
    section = decode_file(part("stub-x64")).sections[0]
    assert section._replace(virtual_size=100, raw_size=512).content_size == 100
    assert section._replace(virtual_size=4096, raw_size=512).content_size == 512


def test_a_section_name_that_is_no_text_is_shown_escaped(part: Part):
    section = decode_file(part("stub-x64")).sections[0]
    assert section._replace(raw_name=b".\xff\0\0\0\0\0\0").name == ".\\xff"


def _word(offset: int, value: int) -> Callable[[bytearray], None]:
    return lambda head: pack_into("<H", head, offset, value)


def _dword(offset: int, value: int) -> Callable[[bytearray], None]:
    return lambda head: pack_into("<I", head, offset, value)


# Offsets from the PE signature, by the PE format specification: the COFF header at 4, the optional header at 24.
DAMAGE = {
    "no MZ": ("no MZ", lambda _: _word(0, 0)),
    "PE header far away": ("no PE signature", lambda _: _dword(0x3C, 0xFFFFFFF0)),
    "no PE signature": ("no PE signature", lambda at: _dword(at, 0)),
    "unknown optional header": ("magic 0x107", lambda at: _word(at + 24, 0x107)),
    "optional header too small": ("112 are needed", lambda at: _word(at + 20, 100)),
    "too many directories": ("data directories", lambda at: _dword(at + 24 + 108, 0xFFFFFFFF)),
    "too many sections": ("beyond the headers", lambda at: _word(at + 6, 0xFFFF)),
    "more sections than headers": ("SizeOfHeaders", lambda at: _word(at + 6, 600)),
    "no section alignment": ("section alignment", lambda at: _dword(at + 24 + 32, 0)),
    "odd file alignment": ("file alignment", lambda at: _dword(at + 24 + 36, 0x201)),
    "huge file alignment": ("file alignment", lambda at: _dword(at + 24 + 36, 0x80000000)),
    "headers larger than the file": ("SizeOfHeaders", lambda at: _dword(at + 24 + 60, 0x7FFFFFFF)),
    "section beyond the file": ("section .text ends", lambda at: _dword(at + 24 + 240 + 16, 0x7FFFFFFF)),
    "certificates beyond the file": ("certificate table", lambda at: _dword(at + 24 + 112 + 4 * 8 + 4, 0x7FFFFFFF)),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_header_is_refused(part: Part, damage: str):
    message, change = DAMAGE[damage]
    data = bytearray(part("stub-x64").read_bytes())
    change(data.index(b"PE\0\0"))(data)
    with pytest.raises(FormatError, match=message):
        pe.decode(bytes(data[: pe.HEAD_SIZE]), len(data))


@pytest.mark.parametrize("size", [0, 1, 2, 0x3F, 0x40, 0x80, 0x90, 0xA0, 0x100, 0x180, 0x200])
def test_a_header_cut_short_is_refused(part: Part, size: int):
    with pytest.raises(FormatError):
        pe.decode(part("stub-x64").read_bytes()[:size], size)


def test_more_directories_than_the_optional_header_holds_are_refused(part: Part):
    headers = decode_file(part("stub-x64"))
    crowded = replace(headers, optional=headers.optional._replace(number_of_directories=17))
    data = pe.encode(crowded)
    with pytest.raises(FormatError, match="17 data directories"):
        pe.decode(data, part("stub-x64").stat().st_size)


@pytest.mark.parametrize("machine", [pe.CoffMachine.x64, pe.CoffMachine.ia32])
def test_headers_may_have_no_directories_and_end_with_their_last_section(machine: pe.CoffMachine):
    headers = minimal_image(machine, slots=1)
    size = headers.directories_offset - headers.optional_offset
    section = decode_file(parts.get("stub-x64")).sections[0]._replace(raw_size=0, raw_offset=0)
    bare = replace(
        headers,
        coff=headers.coff._replace(size_of_optional_header=size),
        optional=headers.optional._replace(number_of_directories=0),
        directories=(),
    ).with_sections((section,))
    end = bare.section_table_offset + pe.SECTION_HEADER_SIZE
    bare = replace(bare, optional=bare.optional._replace(size_of_headers=end))

    data = pe.encode(bare)
    assert len(data) == end
    assert pe.decode(data, end) == bare
    with pytest.raises(FormatError, match="1 sections ends at"):
        pe.decode(data[:-1], end)


@pytest.mark.parametrize("alignment", [1, 2, 0x4000000])
def test_alignments_are_powers_of_two_up_to_64_mib(part: Part, alignment: int):
    headers = decode_file(part("stub-x64"))
    aligned = replace(headers, optional=headers.optional._replace(section_alignment=alignment))
    assert pe.decode(pe.encode(aligned), part("stub-x64").stat().st_size) == aligned


@pytest.mark.parametrize(
    ("size", "message"), [(0x3F, "the DOS header"), (0x44, "the COFF header"), (0x59, "the optional")]
)
def test_what_is_cut_short_is_told_by_its_name(size: int, message: str):
    with pytest.raises(FormatError, match=f"^{message}"):
        pe.decode(pe.encode(minimal_image(pe.CoffMachine.x64, slots=1))[:size], size)


def test_a_section_beyond_the_file_is_told_with_its_end(part: Part):
    headers = decode_file(part("stub-x64"))
    section = headers.sections[0]
    end = section.raw_offset + section.raw_size
    with pytest.raises(FormatError, match=f"section {section.name} ends at {end:#x}, file at {end - 1:#x}"):
        pe.decode(pe.encode(headers), end - 1)
