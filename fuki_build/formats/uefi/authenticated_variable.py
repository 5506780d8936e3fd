"""`.auth` files: values of authenticated UEFI variables, with the signature that authorizes setting them.

Source: UEFI 2.10, sections 8.2.2 and 8.2.6 (EFI_VARIABLE_AUTHENTICATION_2).
"""

from collections.abc import Mapping
from enum import IntFlag
from struct import Struct
from uuid import UUID

import msgspec

from fuki_build.errors import FormatError
from fuki_build.formats.uefi import efi_time
from fuki_build.formats.uefi.efi_time import EfiTime

GLOBAL_VENDOR = UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c")
IMAGE_SECURITY_VENDOR = UUID("d719b2cb-3d3a-4596-a3bc-dad00e67656f")
VENDORS: Mapping[str, UUID] = {
    "PK": GLOBAL_VENDOR,
    "KEK": GLOBAL_VENDOR,
    "db": IMAGE_SECURITY_VENDOR,
    "dbx": IMAGE_SECURITY_VENDOR,
    "dbt": IMAGE_SECURITY_VENDOR,
    "dbr": IMAGE_SECURITY_VENDOR,
}
"""The vendor GUIDs of Secure Boot's variables (UEFI 2.10, section 32.6.1)."""


class Attributes(IntFlag):
    """A variable's attributes."""

    NON_VOLATILE = 0x01
    BOOTSERVICE_ACCESS = 0x02
    RUNTIME_ACCESS = 0x04
    TIME_BASED_AUTHENTICATED_WRITE_ACCESS = 0x20
    APPEND_WRITE = 0x40


SECURE_BOOT_ATTRIBUTES = (
    Attributes.NON_VOLATILE
    | Attributes.BOOTSERVICE_ACCESS
    | Attributes.RUNTIME_ACCESS
    | Attributes.TIME_BASED_AUTHENTICATED_WRITE_ACCESS
)
"""Attributes of PK, KEK, db and dbx; appended values are signed with APPEND_WRITE as well."""

_CERTIFICATE = Struct("<IHH16s")  # size with this header, revision, type, type GUID: WIN_CERTIFICATE_UEFI_GUID
_REVISION = 0x0200
_TYPE_EFI_GUID = 0x0EF1
_PKCS7 = UUID("4aafd29d-68df-49ee-8aa9-347d375665a7")


class AuthenticatedPayload(msgspec.Struct, frozen=True):
    """A `.auth` file. `signature` is a PKCS #7 SignedData in DER, in a ContentInfo or bare; both are allowed.

    The file does not name its variable. A time of zeros is valid only for appending.
    """

    timestamp: EfiTime
    signature: bytes
    payload: bytes

    def covered(self, name: str, vendor: UUID, attributes: int = SECURE_BOOT_ATTRIBUTES) -> bytes:
        """The content that the detached signature covers, provided that the file is for that variable."""
        return to_be_signed(name, vendor, attributes, self.timestamp, self.payload)


def to_be_signed(name: str, vendor: UUID, attributes: int, timestamp: EfiTime, payload: bytes) -> bytes:
    """The bytes that a signature for a variable's new value covers; the name is without its NUL."""
    head = name.encode("utf-16-le") + vendor.bytes_le + int(attributes).to_bytes(4, "little")
    return head + efi_time.encode(timestamp) + payload


def encode(authenticated: AuthenticatedPayload) -> bytes:
    """A `.auth` file, as SetVariable() takes it."""
    size = _CERTIFICATE.size + len(authenticated.signature)
    head = _CERTIFICATE.pack(size, _REVISION, _TYPE_EFI_GUID, _PKCS7.bytes_le)
    return efi_time.encode(authenticated.timestamp) + head + authenticated.signature + authenticated.payload


def decode(data: bytes) -> AuthenticatedPayload:
    """Split a `.auth` file; the signature is not verified. Raises `FormatError`."""
    timestamp = efi_time.decode(data, 0, "the time of an authenticated variable")
    if efi_time.encode(timestamp) != data[: efi_time.SIZE]:
        raise FormatError("the time of an authenticated variable is not in whole seconds of UTC")

    if not is_authenticated(data):
        raise FormatError("an authenticated variable starts with a PKCS #7 signature, and this with another or none")

    size, *_ = _CERTIFICATE.unpack_from(data, efi_time.SIZE)
    start, end = efi_time.SIZE + _CERTIFICATE.size, efi_time.SIZE + size
    if not start < end <= len(data):
        raise FormatError(f"the signature of an authenticated variable claims {size} bytes")

    return AuthenticatedPayload(timestamp, data[start:end], data[end:])


def is_authenticated(data: bytes) -> bool:
    """Whether the data look like a `.auth` file rather than a bare signature list."""
    if len(data) < efi_time.SIZE + _CERTIFICATE.size:
        return False
    _, revision, kind, guid = _CERTIFICATE.unpack_from(data, efi_time.SIZE)
    return (revision, kind, UUID(bytes_le=guid)) == (_REVISION, _TYPE_EFI_GUID, _PKCS7)


_ATTRIBUTES_SIZE = 4
_MAX_ATTRIBUTES = 0xFF
"""Largest value (UEFI 2.10, 8.2.1). Signature lists start with a GUID, `.auth` files with a date: both are larger."""


def value(data: bytes) -> bytes:
    """The value in a file of a variable: the payload of an `.auth` file, or the data after efivarfs' attributes.

    Any other file is the value itself. Raises `FormatError` for a damaged `.auth` file.
    """
    if is_authenticated(data):
        return decode(data).payload
    if len(data) >= _ATTRIBUTES_SIZE and 0 < int.from_bytes(data[:_ATTRIBUTES_SIZE], "little") <= _MAX_ATTRIBUTES:
        return data[_ATTRIBUTES_SIZE:]
    return data
