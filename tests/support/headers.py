"""Change single fields of finished images, as tools that make wrong ones would have set them."""

from collections.abc import Callable
from struct import pack_into

from fuki_build.formats.pe import pe

Change = Callable[[bytearray], None]

VIRTUAL_SIZE, ADDRESS, RAW_SIZE, RAW_OFFSET, RELOCATIONS, FLAGS = 8, 12, 16, 20, 24, 36
"""Fields of a section header (PE specification)."""
IMAGE_BASE, SECTION_ALIGNMENT, SUBSYSTEM, SIZE_OF_IMAGE, ENTRY_POINT, MAJOR_IMAGE_VERSION = 24, 32, 68, 56, 16, 44
"""Fields of the optional header of PE32+."""


def headers(data: bytes | bytearray) -> pe.PeHeaders:
    return pe.decode(bytes(data[: pe.HEAD_SIZE]), len(data))


def section(name: str, field: int, value: int) -> Change:
    def change(data: bytearray) -> None:
        layout = headers(data)
        index = [s.name for s in layout.sections].index(name)
        pack_into("<I", data, layout.section_table_offset + index * pe.SECTION_HEADER_SIZE + field, value)

    return change


def optional(field: int, value: int, form: str = "<I") -> Change:
    return lambda data: pack_into(form, data, headers(data).optional_offset + field, value)


def directory(index: int, address: int, size: int) -> Change:
    return lambda data: pack_into("<II", data, headers(data).directories_offset + 8 * index, address, size)


def seventeen_directories(data: bytearray) -> None:
    """Firmware takes any number; loaders of Windows end at 16."""
    before = headers(data)
    table = before.section_table_offset
    size = len(before.sections) * pe.SECTION_HEADER_SIZE
    added = 8 * (17 - len(before.directories))
    data[table : table + added + size] = bytes(added) + data[table : table + size]
    pack_into("<H", data, before.optional_offset - 4, before.coff.size_of_optional_header + added)
    pack_into("<I", data, before.directories_offset - 4, 17)


def changed(data: bytes, *changes: Change) -> bytes:
    result = bytearray(data)
    for change in changes:
        change(result)
    return bytes(result)
