"""EFI signature lists: the values of PK, KEK, db and dbx (UEFI 2.10, section 32.4.1)."""

from collections.abc import Iterable
from enum import StrEnum
from struct import Struct
from uuid import UUID

import msgspec

from fuki_build.errors import FormatError
from fuki_build.formats.reader import unpack
from fuki_build.formats.uefi import efi_time
from fuki_build.formats.uefi.efi_time import EfiTime

_LIST = Struct("<16sIII")  # type, size of the whole list, of the header behind this one, of each signature
_OWNER = 16
MAX_SIZE = 16 * 1024 * 1024
"""Limit for lists that are read from files, in bytes; Microsoft's dbx of 2025 has 24 KiB."""


class SignatureType(StrEnum):
    """The kind of a signature's data; values are the types' GUIDs.

    X509 is a certificate in DER; X509_SHA… is the hash of a certificate's to-be-signed part with the EFI_TIME from
    which it is revoked; the others are Authenticode hashes of images.
    """

    SHA1 = "826ca512-cf10-4ac9-b187-be01496631bd"
    SHA224 = "0b6e5233-a65c-44c9-9407-d9ab83bfc8bd"
    SHA256 = "c1c41626-504c-4092-aca9-41f936934328"
    SHA384 = "ff3e5307-9fd0-48c9-85f1-8ad56c701e01"
    SHA512 = "093e0fae-a6c4-4f50-9f1b-d41e2b89c19a"
    X509 = "a5c059a1-94e4-4aa7-87b5-ab155c2bf072"
    X509_SHA256 = "3bd2a492-96c0-4079-b420-fcf98ef103ed"
    X509_SHA384 = "7076876e-80c2-4ee6-aad2-28b349a6865b"
    X509_SHA512 = "446dbf63-2502-4cda-bcfa-2465d2b0fe9d"

    @property
    def guid(self) -> UUID:
        return UUID(self.value)


DATA_SIZES = {
    SignatureType.SHA1.guid: 20,
    SignatureType.SHA224.guid: 28,
    SignatureType.SHA256.guid: 32,
    SignatureType.SHA384.guid: 48,
    SignatureType.SHA512.guid: 64,
    SignatureType.X509_SHA256.guid: 32 + efi_time.SIZE,
    SignatureType.X509_SHA384.guid: 48 + efi_time.SIZE,
    SignatureType.X509_SHA512.guid: 64 + efi_time.SIZE,
}
"""Bytes of one signature's data, for the types where that is fixed."""


class Signature(msgspec.Struct, frozen=True):
    """A certificate in DER or a hash, and the GUID of the owner who enrolled it."""

    owner: UUID
    data: bytes


class SignatureList(msgspec.Struct, frozen=True):
    """Signatures of one type and size. `type` may be unknown to `SignatureType`; `header` is empty for known types."""

    type: UUID
    signatures: tuple[Signature, ...]
    header: bytes = b""


def certificate_list(der: bytes, owner: UUID) -> SignatureList:
    """A list of one certificate; certificates of different sizes cannot share a list."""
    return SignatureList(SignatureType.X509.guid, (Signature(owner, der),))


def hash_list(kind: SignatureType, digests: Iterable[bytes], owner: UUID) -> SignatureList:
    """A list of digests of the given kind."""
    return SignatureList(kind.guid, tuple(Signature(owner, digest) for digest in digests))


def revocation(data: bytes) -> tuple[bytes, EfiTime]:
    """The data of an X509_SHA… signature: hash, and the start of the revocation (no time: revoked from the start)."""
    at = len(data) - efi_time.SIZE
    return data[:at], efi_time.decode(data, at, "the time of a revoked certificate")


def encode(lists: Iterable[SignatureList]) -> bytes:
    """Concatenated lists. Raises `FormatError` for signatures whose size does not fit their type."""
    return b"".join(map(_encode_list, lists))


def _encode_list(signatures: SignatureList) -> bytes:
    sizes = {len(signature.data) for signature in signatures.signatures}
    if len(sizes) != 1:
        raise FormatError("a signature list holds one or more signatures, all of one size")
    size = _OWNER + sizes.pop()

    _check_size(signatures.type, size)

    total = _LIST.size + len(signatures.header) + len(signatures.signatures) * size
    head = _LIST.pack(signatures.type.bytes_le, total, len(signatures.header), size)
    return head + signatures.header + b"".join(s.owner.bytes_le + s.data for s in signatures.signatures)


def decode(data: bytes) -> tuple[SignatureList, ...]:
    """All lists of a variable or `.esl` file. Raises `FormatError` for data that firmware refuses."""
    lists = []
    offset = 0

    while offset < len(data):
        size, signatures = _decode_list(data, offset)
        lists.append(signatures)
        offset += size

    return tuple(lists)


def _decode_list(data: bytes, offset: int) -> tuple[int, SignatureList]:
    """The list at `offset`, with its size in bytes."""
    guid, total, header_size, size = unpack(_LIST, data, offset, "a signature list")
    start, end = offset + _LIST.size + header_size, offset + total
    if start > end or end > len(data):
        raise FormatError(f"the signature list at {offset:#x} claims {total} bytes, {len(data) - offset} are left")

    type_ = UUID(bytes_le=guid)
    _check_size(type_, size)
    if (end - start) % size:
        raise FormatError(f"the signature list at {offset:#x} has {end - start} bytes for signatures of {size}")

    signatures = tuple(
        Signature(UUID(bytes_le=data[at : at + _OWNER]), data[at + _OWNER : at + size])
        for at in range(start, end, size)
    )

    return total, SignatureList(type_, signatures, data[offset + _LIST.size : start])


def _check_size(type_: UUID, size: int) -> None:
    """Refuse a signature without data, or of a size that is not its type's; `size` includes the owner."""
    expected = DATA_SIZES.get(type_)
    if size <= _OWNER or expected not in {None, size - _OWNER}:
        raise FormatError(f"a signature of type {type_} cannot have {size} bytes")
