"""Authenticode: which bytes of an image it covers, and where signatures are stored.

Sources: Microsoft, "Windows Authenticode Portable Executable Signature Format", 2008, and where programs interpret that
differently, edk2's DxeImageVerificationLib (HashPeImage), which decides whether an image starts.
"""

from struct import Struct
from typing import NamedTuple
from uuid import UUID

from fuki_build.errors import FormatError
from fuki_build.formats.pe.pe import SECURITY_DIRECTORY, PeHeaders
from fuki_build.formats.reader import unpack

PADDING = 8
"""Signing tools pad an image with zeros to a multiple of this many bytes, and hash the padding too."""

_DIRECTORY = Struct("<II")


def digest_ranges(headers: PeHeaders, file_size: int) -> tuple[tuple[int, int], ...]:
    """The half-open file ranges that are hashed, in hashing order; the checksum and the signature itself are left out.

    They ascend, except for the last one: after the sections, firmware continues at the offset that equals the number of
    bytes hashed so far. Where bytes before the end of the last section belong to none (`uncovered`), that offset is
    inside the sections, and those bytes themselves are not hashed.

    Raises `FormatError` when sections overlap, which no tool produces.
    """
    header_end = headers.optional.size_of_headers
    holes = [(headers.checksum_offset, headers.checksum_offset + 4)]
    if len(headers.directories) > SECURITY_DIRECTORY:
        entry = headers.directories_offset + SECURITY_DIRECTORY * _DIRECTORY.size
        holes.append((entry, entry + _DIRECTORY.size))

    ranges = []
    at = 0
    for start, end in holes:
        ranges.append((at, start))
        at = end
    ranges.append((at, header_end))

    # Sections are hashed by their place in the file, whatever the order of their headers.
    at = header_end
    for section in sorted((s for s in headers.sections if s.raw_size), key=lambda s: s.raw_offset):
        if section.raw_offset < at:
            raise FormatError(
                f"section {section.name} overlaps what is before it: the image has no Authenticode digest"
            )
        at = section.raw_offset + section.raw_size
        ranges.append((section.raw_offset, at))

    end = file_size - headers.security.size
    if at > end:
        raise FormatError("the certificate table overlaps a section: the image has no Authenticode digest")
    ranges.append((at - uncovered(headers), end))
    return tuple((start, end) for start, end in ranges if start < end)


def uncovered(headers: PeHeaders) -> int:
    """Bytes before the end of the last section that belong neither to the headers nor to a section.

    Firmware, shim and sbsign do not hash them, osslsigncode and Windows do.
    """
    sections = [section for section in headers.sections if section.raw_size]
    start = headers.optional.size_of_headers
    end = max((section.raw_offset + section.raw_size for section in sections), default=start)
    return end - start - sum(section.raw_size for section in sections)


def padding(end: int) -> bytes:
    """The zeros that signing appends to an image that ends at offset `end`."""
    return bytes(-end % PADDING)


class WinCertificate(NamedTuple):
    """One entry of the certificate table: its place in the file, revision and type (2 is Authenticode)."""

    offset: int
    size: int
    revision: int
    kind: int


_WIN_CERTIFICATE = Struct("<IHH")
_REVISION = 0x0200
AUTHENTICODE = 2
_UEFI_GUID = 0x0EF1
_PKCS7 = UUID("4aafd29d-68df-49ee-8aa9-347d375665a7")
HEADER_SIZE = _WIN_CERTIFICATE.size
"""Bytes of an entry before its signature."""


def certificates(table: bytes, offset: int) -> tuple[WinCertificate, ...]:
    """The entries of a certificate table that starts at `offset` in its file. Raises `FormatError`."""
    entries = []
    at = 0
    while at < len(table):
        size, revision, kind = unpack(_WIN_CERTIFICATE, table, at, "an entry of the certificate table")
        if size < _WIN_CERTIFICATE.size or at + size > len(table):
            raise FormatError(f"an entry of the certificate table claims {size} bytes")
        entries.append(WinCertificate(offset + at, size, revision, kind))
        at += -(-size // PADDING) * PADDING

    return tuple(entries)


def signature_in(entry: WinCertificate, content: bytes) -> bytes | None:
    """The SignedData in an entry's content; None for an entry that firmware skips.

    Firmware also takes entries of type WIN_CERT_TYPE_EFI_GUID, which no signing tool makes (UEFI 2.10, 32.2.4).
    """
    if entry.kind == AUTHENTICODE:
        return content
    is_pkcs7 = entry.kind == _UEFI_GUID and content.startswith(_PKCS7.bytes_le)
    return content[len(_PKCS7.bytes_le) :] if is_pkcs7 else None


def encode_certificate(signature: bytes) -> bytes:
    """An entry of the certificate table around a signature, padded so that another can follow."""
    head = _WIN_CERTIFICATE.pack(HEADER_SIZE + len(signature), _REVISION, AUTHENTICODE)
    return head + signature + padding(len(head) + len(signature))


def security_patch(headers: PeHeaders, offset: int, size: int) -> tuple[int, bytes]:
    """Offset and new content of the data directory of signatures. Raises `FormatError` if the header has none."""
    if len(headers.directories) <= SECURITY_DIRECTORY:
        raise FormatError("the image's header has no room for a signature's place")

    return headers.directories_offset + SECURITY_DIRECTORY * _DIRECTORY.size, _DIRECTORY.pack(offset, size)
