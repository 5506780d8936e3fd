"""What drivers an edk2 image was built with, such as those that make it heed the keys in its variable store.

Measured: of Debian's builds of edk2 2025.02 and 2026.08, exactly those that enforce Secure Boot contain the name of the
variable SecureBootEnable (SecurityPkg/Library/AuthVariableLib and SecureBootConfigDxe) in their compressed volume.
Those that need system management mode, and with it flash, have the driver PiSmmCore; keys of an IGVM file are for
IgvmSecureBootDxe (OvmfPkg, since edk2 stable202511).
"""

from fuki_build.formats.uefi.lzma_sections import MAX_SIZE, compressed, decompress

_MARK = "SecureBootEnable".encode("utf-16-le")
_MIN_VOLUME = 1024 * 1024


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
    budget = MAX_SIZE
    has_mark = None
    for data in compressed(image):
        size, marked = _search(data, mark, budget)
        if marked:
            return True

        budget -= size

        # A small section is no volume of drivers, and says nothing.
        if size >= _MIN_VOLUME:
            has_mark = False

    return has_mark


def _search(data: bytes, mark: bytes, limit: int) -> tuple[int, bool]:
    """Bytes decompressed of `data`, and whether they contain the mark, at which decompression stops."""
    size, tail = 0, b""
    for piece in decompress(data, limit):
        size += len(piece)

        # The mark may be cut by the end of a piece.
        if mark in tail + piece:
            return size, True
        tail = piece[-len(mark) :]

    return size, False
