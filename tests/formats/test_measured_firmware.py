"""What firmware measures of itself, out of images that are made up; tests/boot asks guests with real ones."""

import lzma
from struct import pack
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuki_build.errors import FormatError
from fuki_build.formats.uefi.firmware_files import files, sections
from fuki_build.formats.uefi.measured_firmware import measured_firmware

LZMA = UUID("ee4e5898-3914-4259-9d6e-dc7bd79403cf").bytes_le
FFS2 = UUID("8c8ce578-8a3d-4f1c-9935-896185c32dd3").bytes_le
TCG2_PEI = UUID("a0c98b77-cba5-4bb8-993b-4af6ce33ece4")
OTHER = UUID(int=7)


def section(kind: int, content: bytes) -> bytes:
    """With padding behind it, as sections start at multiples of 4 (PI 1.8, volume 3, 2.2.4)."""
    whole = (4 + len(content)).to_bytes(3, "little") + bytes([kind]) + content
    return whole + bytes(-len(whole) % 4)


def file(name: UUID, content: bytes, kind: int = 6) -> bytes:
    """With padding behind it, as files start at multiples of 8 (3.2.3)."""
    head = name.bytes_le + bytes(2) + bytes([kind, 0]) + (24 + len(content)).to_bytes(3, "little") + b"\xf8"
    return head + content + b"\xff" * (-(24 + len(content)) % 8)


def volume(version: str | None, *, extended: bool = False) -> bytes:
    """A volume with padding, another driver, unless it is None the one that measures, and free space (3.2.1)."""
    body = file(UUID(int=2**128 - 1), b"\xff" * 4, 0xF0) + file(OTHER, section(0x10, b"MZ driver"))
    if version is not None:
        text = version.encode("utf-16-le") + b"\0\0" if version else b""
        body += file(TCG2_PEI, section(0x13, b"\x08") + section(0x12, b"VZ\0\0" + text) + section(0x15, b"T\0\0\0"))
    more = bytes(16) + pack("<I", 20) + b"\xff" * 4 if extended else b""
    size = 72 + len(more) + len(body) + 64
    header = bytes(16) + FFS2 + pack("<Q4sIHHHBB", size, b"_FVH", 0, 72, 0, 72 if extended else 0, 0, 2)
    return header + bytes(72 - len(header)) + more + body + b"\xff" * 64


def image(*volumes: bytes) -> bytes:
    contents = b"".join(section(0x19, bytes(3)) + section(0x17, one) for one in volumes)
    return bytes(8) + LZMA + pack("<HH", 24, 1) + lzma.compress(contents, lzma.FORMAT_ALONE)


@pytest.mark.parametrize("version", ["", "2026.08+ds-2"])
@pytest.mark.parametrize("extended", [True, False])
def test_version_and_volumes_are_those_of_the_image(version: str, extended: bool) -> None:
    first, second = volume(version, extended=extended), volume(None)
    measured = measured_firmware(image(first, second))
    assert measured.version == version.encode("utf-16-le") + b"\0\0"
    assert measured.volumes == (first, second)


def test_a_volume_that_measures_in_flash_is_measured_alone() -> None:
    flash = volume("2025.02")
    measured = measured_firmware(bytes(0x1000) + flash.ljust(0x1000, b"\xff") + image(volume(""), volume(None)))
    assert measured.in_flash
    assert measured.version == "2025.02".encode("utf-16-le") + b"\0\0"
    assert measured.volumes == (flash,)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no pair of compressed volumes"),
        (image(volume("1.0")), "no pair of compressed volumes"),
        (image(volume(None), volume(None)), "without support for a TPM"),
        (image(b"no volume", volume(None)), "its first section is no volume"),
        (image(volume("one\0\0two"), volume(None)), "which of its texts"),
    ],
)
def test_what_is_not_such_an_image_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        measured_firmware(data)


def test_files_are_those_of_the_volume() -> None:
    assert [one.name for one in files(volume("1.0"))] == [OTHER, TCG2_PEI]


@given(st.binary(max_size=256), st.integers(0, 255))
def test_damaged_volumes_end_in_an_error_or_in_fewer_files(data: bytes, at: int) -> None:
    whole = volume("1.0")
    damaged = whole[:at] + data + whole[at + len(data) :]
    for parse in (files, sections):
        try:
            assert len(list(parse(damaged))) <= 4096
        except FormatError as error:
            assert error.message  # noqa: PT017 - either outcome will do
