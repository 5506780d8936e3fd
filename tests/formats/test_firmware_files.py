"""Sections, files and volumes as the PI specification lays them out (1.8, volume 3, 3.2)."""

from struct import pack
from uuid import UUID

import pytest

from fuki_build.errors import FormatError
from fuki_build.formats.reader import Reader
from fuki_build.formats.uefi import volumes
from fuki_build.formats.uefi.firmware_files import files, sections
from fuki_build.formats.uefi.volumes import Volume

NAME = UUID(int=7)
CONTENT = b"content"


def section(size: int, kind: int = 0x19, rest: bytes = CONTENT) -> bytes:
    return size.to_bytes(3, "little") + bytes([kind]) + rest


def wide_section(size: int, kind: int = 0x19, rest: bytes = CONTENT) -> bytes:
    """An EFI_COMMON_SECTION_HEADER2."""
    return b"\xff\xff\xff" + bytes([kind]) + pack("<I", size) + rest


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", []),
        (section(11), [(0x19, CONTENT)]),
        (section(4, rest=b""), [(0x19, b"")]),
        (section(11) + b"\0", [(0x19, CONTENT)]),
        (section(11) + b"\0" + section(11, 0x10), [(0x19, CONTENT), (0x10, CONTENT)]),
        (section(12, rest=b"12345678") + section(11, 0x10), [(0x19, b"12345678"), (0x10, CONTENT)]),
        (wide_section(15), [(0x19, CONTENT)]),
        (wide_section(15) + b"\0" + section(11, 0x10), [(0x19, CONTENT), (0x10, CONTENT)]),
        (wide_section(8, rest=b""), [(0x19, b"")]),
        (section(11) + b"\0" + b"\1\2\3", [(0x19, CONTENT)]),
    ],
)
def test_sections_are_found_at_multiples_of_four(data: bytes, expected: list[tuple[int, bytes]]):
    read = list(sections(data))
    assert [(section.type, section.content) for section in read] == expected
    assert all(data[section.offset :].startswith(section.content) for section in read)


@pytest.mark.parametrize(
    ("data", "at", "size"),
    [
        (section(12), 0, 12),
        (section(3), 0, 3),
        (section(0), 0, 0),
        (wide_section(16), 0, 16),
        (wide_section(7), 0, 7),
        (b"\xff\xff\xff\x19" + b"\0\0\0", 0, 0xFFFFFF),
        (section(11) + b"\0" + section(12), 12, 12),
    ],
)
def test_a_section_that_is_cut_short_is_refused(data: bytes, at: int, size: int):
    with pytest.raises(FormatError, match=rf"section at {at:#x} claims {size} bytes"):
        list(sections(data))


def test_sections_without_end_are_read_up_to_a_limit():
    assert len(list(sections(section(4, rest=b"") * 5000))) == 4096


def file(size: int, rest: bytes = CONTENT, kind: int = 6, attributes: int = 0) -> bytes:
    """An EFI_FFS_FILE_HEADER: name, integrity check, type, attributes, size, state."""
    return NAME.bytes_le + b"\x11\x22" + bytes([kind, attributes]) + size.to_bytes(3, "little") + b"\xf8" + rest


def large_file(size: int, rest: bytes = CONTENT) -> bytes:
    """An EFI_FFS_FILE_HEADER2, with FFS_ATTRIB_LARGE_FILE."""
    return file(0, pack("<Q", size) + rest, attributes=1)


def volume(*parts: bytes, header: int = 72, extended: int = 0, size: int | None = None) -> bytes:
    """Header and block map of 72 bytes, then what is in it."""
    body = b"".join(parts)
    total = 72 + len(body) if size is None else size
    head = bytes(16) + volumes.FFS2.bytes_le + pack("<Q4sIHHHBB", total, b"_FVH", 0, header, 0, extended, 0, 2)
    return head + bytes(72 - len(head)) + body


FREE = b"\xff" * 24
PADDING = file(24, b"", kind=0xF0)
ONE = (NAME, 6, CONTENT)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (volume(), []),
        (volume(file(31)), [ONE]),
        (volume(file(31) + b"\xff", file(31)), [ONE, ONE]),
        (volume(PADDING, file(31)), [ONE]),
        (volume(file(24, b"")), [(NAME, 6, b"")]),
        (volume(file(31) + b"\xff", FREE, file(31)), [ONE]),
        (volume(file(31) + b"\xff", FREE[:-1]), [ONE]),
        (volume(large_file(39) + b"\xff", file(31)), [ONE, ONE]),
        (volume(large_file(32, b"")), [(NAME, 6, b"")]),
        # An EFI_FIRMWARE_VOLUME_EXT_HEADER: name and its size; files start behind it, at a multiple of 8.
        (volume(bytes(16) + pack("<I", 20) + b"\xff" * 4, file(31), extended=72), [ONE]),
        (volume(bytes(16) + pack("<I", 24) + b"more", file(31), extended=72), [ONE]),
        (volume(bytes(16) + pack("<I", 20), extended=72), []),
        (volume(b"\xff" * 8, file(31), header=76), [ONE]),
    ],
)
def test_files_are_found_at_multiples_of_eight(data: bytes, expected: list[tuple[UUID, int, bytes]]):
    read = list(files(data))
    assert [(file.name, file.type, file.content) for file in read] == expected
    assert all(data[file.offset :].startswith(file.content) for file in read)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (volume(file(32)), "file at 0x48 claims 32 bytes"),
        (volume(file(23)), "file at 0x48 claims 23 bytes"),
        (volume(large_file(40)), "file at 0x48 claims 40 bytes"),
        (volume(large_file(31)), "file at 0x48 claims 31 bytes"),
        (volume(large_file(40)[:31]), "file at 0x48 claims 0 bytes"),
        (volume(file(31) + b"\xff", file(32)), "file at 0x68 claims 32 bytes"),
        (volume(bytes(19), extended=72), "extended header at 0x48, behind its end"),
        (b"x" * 100, "no firmware volume"),
    ],
)
def test_a_volume_that_lies_about_its_files_is_refused(data: bytes, message: str):
    with pytest.raises(FormatError, match=message):
        list(files(data))


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (volume(), 72),
        (volume(header=56, size=56), 56),
        (volume(header=50, size=50), 50),
        (volume(header=49), None),
        (volume(header=73), None),
        (volume(size=71), None),
        (volume()[:50], 72),
        (volume()[:49], None),
    ],
)
def test_a_volume_is_told_by_a_header_that_fits(data: bytes, size: int | None):
    expected = None if size is None else Volume(0x5000, size, volumes.FFS2)
    assert volumes.volume_at(data, 0, 0x5000) == expected
    later = None if size is None else Volume(0x5003, size, volumes.FFS2)
    assert volumes.volume_at(b"abc" + data, 3, 0x5000) == later


def test_a_volume_without_a_base_is_at_its_offset():
    assert volumes.volume_at(b"abc" + volume(), 3) == Volume(3, 72, volumes.FFS2)


def test_volumes_are_found_behind_others_at_multiples_of_a_page():
    one = volume(size=0x1001).ljust(0x2000, b"\0")
    image = bytes(0x1000) + one + volume().ljust(0x1000, b"\0") + volume(size=0x1001).ljust(0x1000, b"\0")
    places = [(v.offset, v.size) for v in volumes.volumes(Reader.of(image))]
    assert places == [(0x1000, 0x1001), (0x3000, 72)]
    assert [(v.offset, v.size) for v in volumes.volumes(Reader.of(volume()))] == [(0, 72)]
