"""Facts about a Linux kernel: its release, in each of the formats that kernels come in, and its limits.

Sources: Documentation/arch/x86/boot.rst, drivers/firmware/efi/libstub/zboot-header.S, ELF's PT_NOTE.
"""

import re
from collections.abc import Iterable
from struct import Struct
from typing import NamedTuple

from fuki_build.errors import FormatError
from fuki_build.formats.reader import Reader, pieces, unpack
from fuki_build.formats.uki import compression

_BZIMAGE_RELEASE = re.compile(rb"([A-Za-z0-9._+~-]{1,127}) \([^)]*\) #")
_BANNER = re.compile(rb"Linux version (\d\.[!-~]{1,125}) \(")
_BANNER_REACH = 256
_NOTE_RELEASE = re.compile(rb"[!-~]{1,127}")
_NOTE_LINUX_VERSION = 0x100
_MARKS = (b"ARM\x64", b"RSC\x05", b"\xcd\x23\x82\x81")
"""At offset 0x38: arm64's, RISC-V's, and LoongArch's with that of zboot (include/linux/pe.h)."""
_SETUP_CMDLINE_SIZE = (0x0206, 0x0238)
"""The first boot protocol with `cmdline_size` in x86's setup header, and the field's offset."""
_MAX_NOTES = 64 * 1024
"""Limit of bytes of notes that are read; sections may overlap, so the number of sections does not limit them."""

_ZBOOT = Struct("<2sxx4sII8x6s")  # MZ, zimg, payload offset, payload size, compression
_ELF_HEADER = Struct("<4sBB10xHHIQQQIHHHHHH")
_ELF_SECTION = Struct("<IIQQQQIIQQ")
_SHT_NOTE = 7


class Zboot(NamedTuple):
    """A compressed kernel in an EFI loader; bootable as it is."""

    compression: str
    offset: int
    size: int


def zboot(head: bytes, file_size: int) -> Zboot | None:
    if len(head) < _ZBOOT.size:
        return None
    magic, tag, offset, size, name = _ZBOOT.unpack_from(head)
    if magic != b"MZ" or tag != b"zimg":
        return None

    if offset + size > file_size:
        raise FormatError("the compressed kernel inside this EFI image lies outside the file")
    kind = str(name.rstrip(b"\0").decode("ascii", "backslashreplace"))
    return Zboot(kind, offset, size)


def is_kernel(file: Reader) -> bool:
    """Whether a PE image is a Linux kernel, by the magic in each architecture's header."""
    head = file.read_at(0, 4096)
    return head[0x202:0x206] == b"HdrS" or head[4:8] == b"zimg" or head[0x38:0x3C] in _MARKS


def release(kernel: Reader) -> str | None:
    """The kernel's release, as `uname -r` prints it; None when it cannot be found.

    Reads a few KiB of an x86 kernel or an ELF file; other formats are searched from start to end.
    Raises `FormatError` when the file is damaged or needs a decompressor that is not installed.
    """
    head = kernel.read_at(0, 4096)
    if head[0x202:0x206] == b"HdrS":
        return _bzimage_release(kernel, head)
    if head.startswith(b"\x7fELF"):
        return _elf_release(kernel)

    inner = zboot(head, kernel.size)
    if inner is not None:
        packed = kernel.window(inner.offset, inner.size)
        # "gzip" etc. name the same streams; kernels up to 6.x say "lzma" for LZMA-alone.
        kind = compression.detect(packed.read_at(0, 8)) or inner.compression
        return _banner(compression.decompress(kind, pieces(packed)))

    packed_with = compression.detect(head)
    if packed_with is not None:
        return _banner(compression.decompress(packed_with, pieces(kernel)))

    return _banner(pieces(kernel))


def x86_command_line_limit(kernel: Reader) -> int | None:
    """Length limit of an x86 kernel's command line in bytes, according to its setup header; None if it has none."""
    since, offset = _SETUP_CMDLINE_SIZE
    head = kernel.read_at(0, offset + 4)
    if head[0x202:0x206] != b"HdrS" or len(head) < offset + 4 or int.from_bytes(head[0x206:0x208], "little") < since:
        return None
    return int.from_bytes(head[offset:], "little") or None


def _bzimage_release(kernel: Reader, head: bytes) -> str | None:
    """`kernel_version` of the real-mode header: offset of the text, less 0x200."""
    (offset,) = unpack(Struct("<H"), head, 0x20E, "the kernel's setup header")
    text = kernel.read_at(0x200 + offset, 512).partition(b"\0")[0]
    match = _BZIMAGE_RELEASE.match(text)
    return match[1].decode() if offset and match else None


def _elf_release(kernel: Reader) -> str | None:
    """The `Linux` note of type 0x100, in a 64-bit little-endian file."""
    header = unpack(_ELF_HEADER, kernel.read_at(0, _ELF_HEADER.size), 0, "the ELF header")
    elf_class, encoding, table, entry_size, count = header[1], header[2], header[8], header[13], header[14]
    if (elf_class, encoding) != (2, 1) or entry_size != _ELF_SECTION.size:
        raise FormatError("only 64-bit little-endian ELF kernels can be read")

    sections = kernel.read(table, entry_size * count, "the ELF section table")

    budget = _MAX_NOTES
    for index in range(count):
        _, kind, _, _, offset, size, *_ = _ELF_SECTION.unpack_from(sections, index * entry_size)
        if kind == _SHT_NOTE and min(size, budget):
            notes = kernel.read(offset, min(size, budget), "an ELF note section")
            budget -= len(notes)
            kernel_release = _note_release(notes)
            if kernel_release:
                return kernel_release

    return None


def _note_release(notes: bytes) -> str | None:
    header = Struct("<III")
    at = 0
    while at + header.size <= len(notes):
        name_size, data_size, kind = header.unpack_from(notes, at)
        name_at = at + header.size
        data_at = name_at + -(-name_size // 4) * 4

        if kind == _NOTE_LINUX_VERSION and notes[name_at : name_at + name_size] == b"Linux\0":
            match = _NOTE_RELEASE.fullmatch(notes[data_at : data_at + data_size].rstrip(b"\0"))
            return match[0].decode() if match else None

        at = data_at + -(-data_size // 4) * 4

    return None


def _banner(content: Iterable[bytes]) -> str | None:
    """The release in the text `Linux version …`, even where two pieces share it."""
    tail = b""
    for piece in content:
        window = tail + piece
        match = _BANNER.search(window)
        if match:
            return match[1].decode()

        tail = window[-_BANNER_REACH:]
    return None
