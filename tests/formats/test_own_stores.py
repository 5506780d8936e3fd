"""Stores of a program into its own data, and what a PEI core notes, out of code written by hand.

The encodings are those of Intel's manual, volume 2; tests/peers asks objdump about real programs.
"""

from struct import pack
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuki_build.errors import FormatError
from fuki_build.formats.uefi.firmware_files import FileType
from fuki_build.formats.uefi.own_stores import own_stores
from fuki_build.formats.uefi.pei_core import noted_port
from tests.formats.test_measured_firmware import FFS2, file, section

TEXT, DATA, SIZE = 0x240, 0x2C0, 0x80
"""Where code and data are, in memory as in the file, and how large each is."""
CODE, WRITABLE, READABLE = 0x60000020, 0xC0000040, 0x40000040
AMD64, I386 = 0x8664, 0x14C


def program(code: bytes, flags: int = WRITABLE, machine: int = AMD64, data_offset: int = DATA) -> bytes:
    """A PE32+ image with code and data (Microsoft's PE format)."""
    coff = pack("<HHIIIHH", machine, 2, 0, 0, 0, 112, 0x22E)
    sizes = (SIZE, SIZE, 0, TEXT, TEXT, 0, 32, 32)
    optional = pack("<HBBIIIIIQII12xIIIHH", 0x20B, 0, 0, *sizes, 0, DATA + SIZE, TEXT, 0, 11).ljust(112, b"\0")
    table = pack("<8sIIII12xI", b".text", SIZE, TEXT, SIZE, TEXT, CODE)
    table += pack("<8sIIII12xI", b".data", SIZE, DATA, SIZE, data_offset, flags)
    head = b"MZ".ljust(0x3C, b"\0") + pack("<I", 0x40) + b"PE\0\0" + coff + optional + table
    return (head.ljust(TEXT, b"\0") + code.ljust(SIZE, b"\x90")).ljust(DATA + SIZE, b"\0")


def to_data(instruction: str, behind: str = "", target: int = DATA + 0x10) -> bytes:
    """An instruction at the start of the code: its opcode with ModRM, the distance to the data, a constant behind."""
    opcode, constant = bytes.fromhex(instruction), bytes.fromhex(behind)
    end = TEXT + len(opcode) + 4 + len(constant)
    return opcode + pack("<i", target - end) + constant


@pytest.mark.parametrize(
    ("code", "constant"),
    [
        (to_data("89 1d"), None),  # mov [rip+…], ebx
        (to_data("48 89 05"), None),  # mov [rip+…], rax
        (to_data("44 88 3d"), None),  # mov [rip+…], r15b
        (to_data("c7 05", "08 06 00 00"), 0x608),  # mov dword [rip+…], 0x608
        (to_data("66 c7 05", "08 06"), None),  # mov word [rip+…], 0x608
        (to_data("66 41 c7 05", "08 06"), None),
        (to_data("c6 05", "01"), None),  # mov byte [rip+…], 1
        (to_data("83 0d", "01"), None),  # or dword [rip+…], 1
        (to_data("81 25", "ff 00 00 00"), None),  # and dword [rip+…], 0xff
        (to_data("f7 1d"), None),  # neg dword [rip+…]
        (to_data("ff 05"), None),  # inc dword [rip+…]
        (to_data("0f 94 05"), None),  # sete [rip+…]
        (to_data("0f c0 05"), None),  # xadd [rip+…], al
        (to_data("0f 29 05"), None),  # movaps [rip+…], xmm0
        (to_data("0f 01 05"), None),  # sgdt [rip+…]
    ],
)
def test_a_store_is_told_with_its_place_and_constant(code: bytes, constant: int | None) -> None:
    stores = own_stores(program(code))
    assert DATA + 0x10 in {store.target for store in stores}
    assert constant in {store.constant for store in stores}


@pytest.mark.parametrize(
    "code",
    [
        to_data("8b 1d"),  # mov ebx, [rip+…]
        to_data("48 8d 05"),  # lea rax, [rip+…]
        to_data("39 05"),  # cmp [rip+…], eax
        to_data("83 3d", "00"),  # cmp dword [rip+…], 0
        to_data("f6 05", "01"),  # test byte [rip+…], 1
        to_data("ff 15"),  # call [rip+…]
        to_data("0f b7 05"),  # movzx eax, word [rip+…]
        to_data("89 1d", target=TEXT),  # mov [rip+…], ebx, into the code
        to_data("89 1d", target=DATA + SIZE),  # … behind the data
        bytes.fromhex("89 1c 25") + pack("<I", DATA),  # mov [address], ebx
    ],
)
def test_what_reads_or_leads_elsewhere_is_no_store(code: bytes) -> None:
    assert own_stores(program(code)) == ()


def test_data_that_cannot_be_written_do_not_count() -> None:
    assert own_stores(program(to_data("89 1d"), READABLE)) == ()


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (b"VZ", "not a PE image"),
        (program(b"", machine=I386), "code for ia32"),
        (program(b"", data_offset=DATA - 0x20), "elsewhere in memory than in the file"),
    ],
)
def test_programs_of_another_kind_are_refused(image: bytes, reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        own_stores(image)


def core_volume(image: bytes | None) -> bytes:
    """A volume with a driver, and a PEI core, if there is one."""
    body = file(UUID(int=7), section(0x10, program(to_data("89 1d"))))
    if image is not None:
        body += file(UUID(int=8), section(0x10, image), FileType.PEI_CORE)
    header = bytes(16) + FFS2 + pack("<Q4sIHHHBB", 72 + len(body), b"_FVH", 0, 72, 0, 0, 0, 2)
    return header.ljust(72, b"\0") + body


NOTE = to_data("c7 05", "08 06 00 00")


def test_a_core_notes_the_port_where_it_stores_the_constant() -> None:
    image = program(NOTE)
    volume = core_volume(image)
    assert noted_port(volume) == volume.rindex(image) + DATA + 0x10


def test_a_core_without_stores_notes_nothing() -> None:
    assert noted_port(core_volume(program(to_data("8b 1d")))) is None


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (None, "no PEI core"),
        (program(to_data("89 1d")), "not known what they are"),
        (program(NOTE + b"\x89\x1d" + pack("<i", DATA - TEXT - len(NOTE) - 6)), "not known what they are"),
    ],
)
def test_a_core_that_keeps_other_data_is_not_told_of(image: bytes | None, reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        noted_port(core_volume(image))


@given(st.binary(max_size=64), st.integers(0, 0x400))
def test_damaged_programs_and_volumes_end_in_an_error_or_in_places_within(data: bytes, at: int) -> None:
    image, volume = program(NOTE), core_volume(program(NOTE))
    try:
        damaged = image[:at] + data + image[at + len(data) :]
        assert all(store.target >= 0 for store in own_stores(damaged))
    except FormatError as error:
        assert error.message  # noqa: PT017 - either outcome will do

    try:
        offset = noted_port(volume[:at] + data + volume[at + len(data) :])
        assert offset is None or 0 <= offset <= len(volume) - 4 + len(data)
    except FormatError as error:
        assert error.message  # noqa: PT017 - either outcome will do
