"""IGVM files written from the format's definition (microsoft/igvm, igvm_defs), apart from the reader under test."""

import zlib
from collections.abc import Sequence
from struct import pack, unpack_from

Header = tuple[int, bytes]

SEV_SNP, TDX = 2, 3
UNMEASURED, SHARED, LARGE = 2, 4, 1


def platform(mask: int, kind: int) -> Header:
    return 0x001, pack("<IBBHQ", mask, 0, kind, 1, 0)


def policy(mask: int, value: int = 0x30000) -> Header:
    return 0x101, pack("<QII", value, mask, 0)


def area(size: int, index: int = 0) -> Header:
    return 0x301, pack("<QII", size, index, 0)


def page(gpa: int, offset: int, mask: int = 1, flags: int = 0, kind: int = 0) -> Header:
    return 0x302, pack("<QIIIHH", gpa, mask, offset, flags, kind, 0)


def insert(gpa: int, index: int = 0, mask: int = 1) -> Header:
    return 0x303, pack("<QII", gpa, mask, index)


def context(gpa: int, offset: int, mask: int = 1, vp: int = 0) -> Header:
    return 0x304, pack("<QIIHH", gpa, mask, offset, vp, 0)


def parameter(kind: int, index: int = 0, offset: int = 0) -> Header:
    return kind, pack("<II", index, offset)


def snp_id_block(digest: bytes, mask: int = 1) -> Header:
    signature, key = bytes(144), bytes(152)
    head = pack("<IB3x48s16s16sIIII", mask, 0, digest, bytes(16), bytes(16), 1, 0, 1, 0)
    return 0x30B, head + signature + key + signature + key


def headers_size(headers: Sequence[Header]) -> int:
    return sum(8 + -(-len(content) // 8) * 8 for _, content in headers)


def build(headers: Sequence[Header], data: bytes = b"", version: int = 1, checksum: int | None = None) -> bytes:
    """A file of these headers; `data` stands behind them, see `data_offset`."""
    variable = b"".join(
        pack("<II", kind, len(content)) + content + bytes(-len(content) % 8) for kind, content in headers
    )
    start = 24 if version == 1 else 32
    more = b"" if version == 1 else pack("<II", 0, 4096)
    size = start + len(variable) + len(data)

    def fixed(value: int) -> bytes:
        return pack("<4sIIIII", b"IGVM", version, start, len(variable), size, value) + more

    crc = zlib.crc32(fixed(0) + variable) if checksum is None else checksum
    return fixed(crc) + variable + data


def data_offset(headers: Sequence[Header], version: int = 1) -> int:
    """Where `data` stands in a file of headers like these."""
    return (24 if version == 1 else 32) + headers_size(headers)


def decode_pages(file: bytes, mask: int) -> list[tuple[int, bytes]]:
    """Address and content of a platform's pages, in file order: by the definition, apart from the reader under test."""
    start, size = unpack_from("<II", file, 8)

    pages, at = [], start
    while at < start + size:
        kind, length = unpack_from("<II", file, at)
        if kind == 0x302:
            gpa, own, offset = unpack_from("<QII", file, at + 8)
            if own & mask:
                pages.append((gpa, file[offset : offset + 4096] if offset else bytes(4096)))
        at += 8 + length + -length % 8
    return pages


def decode_contexts(file: bytes, mask: int) -> list[bytes]:
    """A platform's initial registers, in the form that the platform has; likewise."""
    start, size = unpack_from("<II", file, 8)

    contexts, at = [], start
    while at < start + size:
        kind, length = unpack_from("<II", file, at)
        if kind == 0x304:
            _, own, offset = unpack_from("<QII", file, at + 8)
            if own & mask:
                contexts.append(file[offset : offset + 4096])
        at += 8 + length + -length % 8
    return contexts
