import bz2
import gzip
import lzma
import re
import subprocess
from collections.abc import Callable
from hashlib import shake_256
from pathlib import Path
from struct import pack, pack_into

import lz4.block
import lz4.frame
import pytest
import zstandard

from fuki_build.errors import FormatError
from fuki_build.formats.reader import Reader
from fuki_build.formats.uki import kernel

Part = Callable[[str], Path]

RELEASE = "6.12.41-acme+1"
BANNER = f"Linux version {RELEASE} (build@acme) (gcc 14) #1 SMP PREEMPT_DYNAMIC\n".encode()
MIB = 1 << 20


def filler(size: int) -> bytes:
    return shake_256(b"filler").digest(size)


CONTENT = b"MZ" + filler(70_000) + BANNER + filler(5_000)


def release(data: bytes) -> str | None:
    return kernel.release(Reader.of(data))


def lz4_legacy(data: bytes) -> bytes:
    block = lz4.block.compress(data, store_size=False)
    return b"\x02\x21\x4c\x18" + pack("<I", len(block)) + block


PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "lz4": lz4_legacy,
    "lz4 frame": lz4.frame.compress,
    "zstd": zstandard.compress,
}


def zboot(name: str, payload: bytes, offset: int = 0x1000, size: int | None = None) -> bytes:
    """An EFI loader around a compressed kernel, as drivers/firmware/efi/libstub/zboot-header.S lays it out."""
    head = bytearray(offset)
    head[0:2] = b"MZ"
    head[4:8] = b"zimg"
    pack_into("<II", head, 8, offset, len(payload) if size is None else size)
    head[24 : 24 + len(name)] = name.encode()
    return bytes(head) + payload


def test_the_release_of_a_real_x86_kernel_is_its_file_name(part: Part):
    path = part("kernel-x64")
    assert release(path.read_bytes()) == path.name.removeprefix("vmlinuz-")


def test_the_release_of_a_real_arm64_kernel_is_its_file_name(part: Part):
    path = part("kernel-aa64")
    assert release(path.read_bytes()) == path.name.removeprefix("vmlinuz-")


def test_an_x86_kernel_is_not_read_to_its_end(part: Part):
    path = part("kernel-x64")
    head = path.read_bytes()[: 64 * 1024]
    assert release(head) == path.name.removeprefix("vmlinuz-")


def test_a_release_is_found_in_an_uncompressed_image():
    assert release(CONTENT) == RELEASE


@pytest.mark.parametrize("before", range(MIB - len(BANNER), MIB + 2, 7))
def test_a_banner_across_two_reads_is_found(before: int):
    assert release(bytes(before) + BANNER) == RELEASE


@pytest.mark.parametrize("name", PACK)
def test_a_release_is_found_in_a_compressed_kernel(name: str):
    assert release(PACK[name](CONTENT)) == RELEASE


@pytest.mark.parametrize("name", ["gzip", "lz4", "lzma", "xz", "zstd"])
def test_a_release_is_found_in_a_zboot_image(name: str):
    # Except for gzip, Linux's build appends the uncompressed size.
    size = b"" if name == "gzip" else pack("<I", len(CONTENT))
    assert release(zboot(name, PACK[name](CONTENT) + size) + filler(512)) == RELEASE


def test_a_zboot_header_is_read():
    assert kernel.zboot(zboot("zstd", bytes(512)), 0x1200) == kernel.Zboot("zstd", 0x1000, 512)


@pytest.mark.parametrize("head", [b"", b"MZ", bytes(64), b"MZ\0\0zimh".ljust(64, b"\0")])
def test_other_heads_are_no_zboot_images(head: bytes):
    assert kernel.zboot(head, 4096) is None


@pytest.mark.parametrize(("offset", "size"), [(0x1000, 0xFFFFFFFF), (0x1000, 513)])
def test_a_zboot_payload_outside_the_file_is_refused(offset: int, size: int):
    with pytest.raises(FormatError, match="outside the file"):
        release(zboot("gzip", bytes(512), offset, size))


@pytest.mark.parametrize("name", ["brotli", "\x7f\x01", "lzo"])
def test_a_zboot_image_with_an_unknown_compression_is_refused(name: str):
    with pytest.raises(FormatError, match="cannot be read"):
        release(zboot(name, b"\x01\x02\x03" * 100))


@pytest.mark.parametrize("name", PACK)
def test_a_compressed_kernel_that_is_cut_short_is_refused(name: str):
    packed = PACK[name](CONTENT[:70_000])
    with pytest.raises(FormatError, match="damaged"):
        release(packed[: len(packed) // 2])


@pytest.mark.parametrize("name", PACK)
def test_a_compressed_kernel_that_is_garbage_is_refused(name: str):
    with pytest.raises(FormatError, match="damaged"):
        release(PACK[name](CONTENT)[:6] + b"\xff\xfe\xfd\xfc" * 64)


@pytest.mark.parametrize("name", ["gzip", "lz4", "lzma", "xz", "zstd"])
def test_a_zboot_image_with_a_damaged_payload_is_refused(name: str):
    packed = PACK[name](CONTENT[:70_000])
    with pytest.raises(FormatError, match="damaged"):
        release(zboot(name, packed[: len(packed) // 2]))


@pytest.mark.parametrize("data", [b"", b"MZ", filler(4096), bytes(2 * MIB), b"Linux version 6.12"])
def test_data_without_a_banner_have_no_release(data: bytes):
    assert release(data) is None


@pytest.mark.parametrize(("size", "expected"), [(127, "6." + "x" * 125), (128, None)])
def test_a_release_has_at_most_127_characters(size: int, expected: str | None):
    assert release(b"Linux version 6." + b"x" * (size - 2) + b" (a@b)") == expected


def note(name: bytes, kind: int, data: bytes) -> bytes:
    padded = [piece + bytes(-len(piece) % 4) for piece in (name, data)]
    return pack("<III", len(name), len(data), kind) + b"".join(padded)


def elf(*notes: bytes, count: int | None = None) -> bytes:
    """A 64-bit little-endian file whose sections are one note section for each of `notes` (elf(5))."""
    names = b"\0.notes\0.shstrtab\0"
    body, headers = names, [bytes(64)]
    for content in notes:
        body += bytes(-len(body) % 4)
        headers.append(pack("<IIQQQQIIQQ", 1, 7, 2, 0, 64 + len(body), len(content), 0, 0, 4, 0))
        body += content

    headers.append(pack("<IIQQQQIIQQ", 8, 3, 0, 0, 64, len(names), 0, 0, 1, 0))
    body += bytes(-len(body) % 8)
    total = len(headers) if count is None else count
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    header = pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 0, 64 + len(body), 0, 64, 0, 0, 64, total, len(headers) - 1)
    return ident + header + body + b"".join(headers)


def readelf_release(path: Path) -> str:
    """The note of type 0x100, which readelf calls OPEN and prints as bytes."""
    listing = subprocess.run(["readelf", "--notes", path], capture_output=True, text=True, check=True).stdout
    matches = re.search(r"Linux\s+0x[0-9a-f]+\s+OPEN\s+description data: ([0-9a-f ]+)", listing)
    assert matches, listing
    return bytes.fromhex(matches[1]).rstrip(b"\0").decode()


OTHER_NOTES = note(b"GNU\0", 3, filler(20)) + note(b"Linux\0", 0x101, b"\0\0\0\0")
RELEASE_NOTE = note(b"Linux\0", 0x100, RELEASE.encode() + b"\0")


@pytest.mark.parametrize(
    "notes",
    [
        pytest.param((RELEASE_NOTE,), id="alone"),
        pytest.param((OTHER_NOTES + RELEASE_NOTE,), id="behind others"),
        pytest.param((OTHER_NOTES, RELEASE_NOTE + OTHER_NOTES), id="in a second section"),
    ],
)
def test_the_release_of_an_elf_kernel_is_the_note_that_readelf_shows(tmp_path: Path, notes: tuple[bytes, ...]):
    file = tmp_path / "vmlinux"
    file.write_bytes(elf(*notes))
    assert readelf_release(file) == RELEASE
    assert release(file.read_bytes()) == RELEASE


def test_an_elf_kernel_without_the_note_has_no_release():
    assert release(elf(OTHER_NOTES)) is None
    assert release(elf()) is None


def test_a_note_of_another_owner_is_no_release():
    assert release(elf(note(b"Xen\0\0\0", 0x100, b"6.12\0"))) is None


@pytest.mark.parametrize(
    "change",
    [
        pytest.param((4, b"\x01"), id="32 bits"),
        pytest.param((5, b"\x02"), id="big-endian"),
        pytest.param((40, b"\xff" * 8), id="sections far away"),
        pytest.param((58, b"\x28\0"), id="section headers of another size"),
        pytest.param((60, b"\xff\xff"), id="more sections than bytes"),
    ],
)
def test_an_elf_kernel_with_a_damaged_header_is_refused(change: tuple[int, bytes]):
    data = bytearray(elf(RELEASE_NOTE))
    data[change[0] : change[0] + len(change[1])] = change[1]
    with pytest.raises(FormatError):
        release(bytes(data))


@pytest.mark.parametrize("size", [4, 16, 40, 63])
def test_an_elf_kernel_with_a_header_cut_short_is_refused(size: int):
    with pytest.raises(FormatError):
        release(elf(RELEASE_NOTE)[:size])


def test_a_note_section_outside_the_file_is_refused():
    data = bytearray(elf(RELEASE_NOTE))
    data[-128 + 24 : -128 + 32] = b"\xff" * 8  # its sh_offset
    with pytest.raises(FormatError, match="note"):
        release(bytes(data))


@pytest.mark.parametrize("data", [b"6.12\nquiet\0", b"\x1b[2J\0", b"\xff\0", b"a b\0", b"x" * 1000 + b"\0"])
def test_a_note_that_is_no_release_is_none(data: bytes):
    assert release(elf(note(b"Linux\0", 0x100, data))) is None


def test_notes_are_read_but_once_however_many_sections_show_them():
    notes = note(b"X\0\0\0", 1, b"") * 4096
    data = bytearray(elf(notes))
    table = int.from_bytes(data[40:48], "little")
    section = bytes(data[table + 64 : table + 128])
    data[table:] = section * 65_000
    pack_into("<H", data, 60, 65_000)
    reads: list[int] = []

    def read_at(offset: int, length: int) -> bytes:
        reads.append(length)
        return bytes(data[offset : offset + length])

    assert kernel.release(Reader(len(data), read_at)) is None
    assert sum(reads) < 2 * len(data)


@pytest.mark.parametrize(
    ("offset", "text"),
    [(0, b""), (0xFFFF, b""), (0x100, b"no release here"), (0x100, b"6.12.1\n(x) #1"), (0x100, b"x" * 400)],
)
def test_a_bzimage_without_a_text_has_no_release(offset: int, text: bytes):
    data = bytearray(8192)
    data[0x202:0x206] = b"HdrS"
    pack_into("<H", data, 0x20E, offset)
    data[0x200 + 0x100 : 0x200 + 0x100 + len(text)] = text
    assert release(bytes(data)) is None


@pytest.mark.parametrize("size", [0x206, 0x20F])
def test_a_bzimage_cut_short_is_refused(size: int):
    data = bytearray(size)
    data[0x202:0x206] = b"HdrS"
    with pytest.raises(FormatError):
        release(bytes(data))


@pytest.mark.parametrize(
    ("name", "is_one"),
    [("kernel-x64", True), ("kernel-aa64", True), ("stub-x64", False), ("stub-aa64", False), ("shim", False)],
)
def test_a_kernel_is_told_from_other_programs(part: Part, name: str, is_one: bool):
    assert kernel.is_kernel(Reader.of(part(name).read_bytes())) is is_one


@pytest.mark.parametrize(
    ("offset", "magic"),
    [
        (0x202, b"HdrS"),  # Documentation/arch/x86/boot.rst
        (4, b"zimg"),  # drivers/firmware/efi/libstub/zboot-header.S
        (56, b"ARM\x64"),  # Documentation/arch/arm64/booting.rst
        (56, b"RSC\x05"),  # Documentation/arch/riscv/boot-image-header.rst
        (56, 0x818223CD.to_bytes(4, "little")),  # include/linux/pe.h
    ],
)
def test_each_architectures_magic_makes_a_kernel(offset: int, magic: bytes):
    head = bytearray(1024)
    head[offset : offset + 4] = magic
    assert kernel.is_kernel(Reader.of(bytes(head)))
    head[offset + 3] ^= 0xFF
    assert not kernel.is_kernel(Reader.of(bytes(head)))


def test_an_x86_kernels_command_line_has_2047_bytes(part: Part):
    """COMMAND_LINE_SIZE of arch/x86/include/asm/setup.h, without the NUL."""
    assert kernel.x86_command_line_limit(Reader.of(part("kernel-x64").read_bytes())) == 2047
    assert kernel.x86_command_line_limit(Reader.of(part("kernel-aa64").read_bytes())) is None


@pytest.mark.parametrize(
    ("protocol", "limit", "size", "told"),
    [
        (0x0206, 255, 0x23C, 255),  # boot.rst: cmdline_size is there from 2.06 on
        (0x020F, 0x12345, 0x400, 0x12345),
        (0x0205, 255, 0x23C, None),
        (0x0206, 0, 0x23C, None),
        (0x0206, 255, 0x23B, None),
    ],
)
def test_the_limit_of_a_command_line_is_the_setup_headers(protocol: int, limit: int, size: int, told: int | None):
    head = bytearray(0x400)
    pack_into("<4sH", head, 0x202, b"HdrS", protocol)
    pack_into("<I", head, 0x238, limit)
    assert kernel.x86_command_line_limit(Reader.of(bytes(head[:size]))) == told


@pytest.mark.parametrize("size", range(1, 18))
def test_notes_with_names_of_any_size_are_passed_over(size: int):
    """ELF: a name and what follows it are padded to multiples of 4."""
    other = note(b"N" * (size - 1) + b"\0", 0x100, b"x" * size)
    assert release(elf(other + RELEASE_NOTE)) == RELEASE
