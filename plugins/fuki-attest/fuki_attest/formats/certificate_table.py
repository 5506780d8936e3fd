"""The certificate table that a host hands out with an SEV-SNP report.

Source: AMD, "SEV-ES Guest-Hypervisor Communication Block Standardization" (56421), 4.1.8.1: SNP Extended Guest Request.
"""

from collections.abc import Mapping
from struct import Struct
from uuid import UUID

import msgspec
from fuki_build.errors import FormatError
from fuki_build.formats.reader import unpack

MAX_SIZE = 1024 * 1024
_ENTRY = Struct("<16sII")  # GUID, offset, length
_MAX_ENTRIES = 64
_PAGE = 4096

NAMES: Mapping[UUID, str] = {
    UUID("63da758d-e664-4564-adc5-f4b93be8accd"): "VCEK",
    UUID("a8074bc2-a25a-483e-aae6-39c045a0b8a1"): "VLEK",
    UUID("4ab7b379-bbac-4fe4-a02f-05aef327c782"): "ASK",
    UUID("c0b406a4-a803-4952-9743-3fb6014cd0ae"): "ARK",
    UUID("92f81bc3-5811-4d3d-97ff-d19f88dc67ea"): "CRL",
}


class TableEntry(msgspec.Struct, frozen=True):
    """One entry; `name` is that of a known GUID, else the GUID itself."""

    name: str
    content: bytes


def decode(data: bytes) -> tuple[TableEntry, ...]:
    """The entries of a table, which the all-zero GUID ends. Raises `FormatError`, also for an empty table."""
    if len(data) > MAX_SIZE:
        raise FormatError(f"a certificate table of {len(data)} bytes is beyond belief (limit {MAX_SIZE})")

    places = []
    for index in range(_MAX_ENTRIES + 1):
        guid, offset, length = unpack(_ENTRY, data, index * _ENTRY.size, "an entry of the certificate table")
        if not any(guid):
            break
        places.append((guid, offset, length))
    else:
        raise FormatError(f"a certificate table of more than {_MAX_ENTRIES} entries is beyond belief")

    if not places:
        raise FormatError("the certificate table is empty")
    start = (len(places) + 1) * _ENTRY.size
    return tuple(_entry(data, start, *place) for place in places)


def encode(entries: Mapping[UUID, bytes]) -> bytes:
    """A table of these contents, in this order."""
    offset = (len(entries) + 1) * _ENTRY.size
    head, contents = b"", b""
    for guid, content in entries.items():
        head += _ENTRY.pack(guid.bytes, offset + len(contents), len(content))
        contents += content
    return head + bytes(_ENTRY.size) + contents


def _entry(data: bytes, start: int, guid: bytes, offset: int, length: int) -> TableEntry:
    name = _name(guid)
    if offset < start or offset + length > len(data):
        raise FormatError(f"{name} of the certificate table lies outside of it ({length} bytes at {offset:#x})")
    return TableEntry(name, data[offset : offset + length])


def _name(guid: bytes) -> str:
    """Hosts write the GUID's bytes in the order of its text; the order of Microsoft's GUIDs is taken as well."""
    for known in (UUID(bytes=guid), UUID(bytes_le=guid)):
        if known in NAMES:
            return NAMES[known]
    return str(UUID(bytes=guid))
