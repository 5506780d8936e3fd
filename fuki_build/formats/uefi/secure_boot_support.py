"""What drivers an edk2 image was built with, such as those that make it heed the keys in its variable store.

Measured: of Debian's builds of edk2 2025.02 and 2026.08, exactly those that enforce Secure Boot contain the name of the
variable SecureBootEnable (SecurityPkg/Library/AuthVariableLib and SecureBootConfigDxe) in their compressed volume.
Those that need system management mode, and with it flash, have the driver PiSmmCore; keys of an IGVM file are for
IgvmSecureBootDxe (OvmfPkg, since edk2 stable202511).
"""

import lzma
from uuid import UUID

# LzmaCustomDecompressGuid.h; a GUID-defined section has its size and type before the GUID (PI 1.8, volume 3, 2.2.6.2).
_LZMA = UUID("ee4e5898-3914-4259-9d6e-dc7bd79403cf").bytes_le
_SECTION_HEAD = 4
_MARK = "SecureBootEnable".encode("utf-16-le")
_MIN_VOLUME = 1024 * 1024
_MAX_VOLUME = 64 * 1024 * 1024
_MAX_SECTIONS = 8
_MAX_MEMORY = 128 * 1024 * 1024
_PIECE = 256 * 1024


def enforces_secure_boot(image: bytes) -> bool | None:
    """True or False for images whose drivers can be looked at; None where there are none (a store), or cannot be."""
    return _has(image, _MARK)


def needs_system_management_mode(image: bytes) -> bool | None:
    """Whether the image starts only on machines with SMM and with flash to keep variables in; None as above."""
    return _has(image, "PiSmmCore\0".encode("utf-16-le"))


def takes_keys_through_igvm(image: bytes) -> bool | None:
    """Whether a confidential guest enrolls Secure Boot keys that its IGVM file brings; None as above."""
    return _has(image, "IgvmSecureBootDxe\0".encode("utf-16-le"))


def _has(image: bytes, mark: bytes) -> bool | None:
    budget = _MAX_VOLUME
    has_mark = None
    at = image.find(_LZMA)
    for _ in range(_MAX_SECTIONS):
        if at < _SECTION_HEAD:
            break

        # The GUID-defined section says where its data start: after the GUID, 16 bits.
        start = at - _SECTION_HEAD + int.from_bytes(image[at + 16 : at + 18], "little")
        size, marked = _search(image[start:], mark, budget)
        if marked:
            return True

        budget -= size

        # A small section is no volume of drivers, and says nothing.
        if size >= _MIN_VOLUME:
            has_mark = False

        at = image.find(_LZMA, at + 1)

    return has_mark


def _search(data: bytes, mark: bytes, limit: int) -> tuple[int, bool]:
    """Bytes decompressed from the start of `data`, in LZMA's old format, and whether they contain the mark.

    Decompression stops at the mark and at `limit` bytes.
    """
    decompressor = lzma.LZMADecompressor(lzma.FORMAT_ALONE, _MAX_MEMORY)
    size, tail = 0, b""
    try:
        while size < limit and not decompressor.eof:
            piece = decompressor.decompress(data, max_length=min(_PIECE, limit - size))
            if not piece and decompressor.needs_input:
                break

            data = b""
            size += len(piece)

            # The mark may be cut by the end of a piece.
            if mark in tail + piece:
                return size, True
            tail = piece[-len(mark) :]
    except lzma.LZMAError:
        pass

    return size, False
