"""`.hwids`: the table from hardware ids to devicetrees and firmware (systemd's chid.h, stub 262.1)."""

from collections.abc import Iterable, Sequence
from enum import IntEnum
from struct import Struct
from uuid import UUID

import msgspec

from fuki_build.errors import FormatError
from fuki_build.formats.reader import unpack

_RECORD = Struct("<I16sII")  # descriptor, CHID as an EFI GUID, offset of the name, offset of the key
_END = bytes(_RECORD.size)
MAX_SIZE = 1024 * 1024
"""Largest table that is decoded, in bytes; systemd's own, for all ARM laptops, has some 30 KiB."""
MAX_STRING = 512
"""Longest name or key that is decoded, in bytes; bounds what overlapping strings can cost."""


class DeviceType(IntEnum):
    """The kind of thing that a record selects; values are those of systemd, whose JSON form uses `json_name`."""

    DEVICETREE = 1
    UEFI_FW = 2

    @property
    def json_name(self) -> str:
        return "devicetree" if self is DeviceType.DEVICETREE else "uefi-fw"


_TYPES = frozenset(DeviceType)


class Device(msgspec.Struct, frozen=True):
    """A devicetree or firmware, and the machines that select it.

    `key` is the devicetree's first compatible string, or the firmware's fwid.
    """

    type: DeviceType
    name: str
    key: str
    chids: frozenset[UUID]


class Record(msgspec.Struct, frozen=True):
    """One row of an encoded table. Absent strings (offset 0) are empty."""

    type: DeviceType
    chid: UUID
    name: str
    key: str


def first_bytes(kind: DeviceType) -> bytes:
    """The four bytes that a record of a kind, and so a table with such a record first, begins with."""
    return (kind << 28 | _RECORD.size).to_bytes(4, "little")


def encode(devices: Iterable[Device]) -> bytes:
    """Encode a table. Devices that differ only in CHIDs are merged; the bytes equal those of ukify 262.1."""
    groups: dict[tuple[DeviceType, str, str], set[UUID]] = {}
    for device in devices:
        groups.setdefault((device.type, device.name, device.key), set()).update(device.chids)

    base = _RECORD.size * (1 + sum(len(chids) for chids in groups.values()))
    strings = b""
    offsets = {}
    # Strings follow the records and the end mark; each is stored once.
    for text in sorted({s for _, name, key in groups for s in (name, key)}):
        if "\0" in text:
            raise FormatError(f"a name in a hardware id table cannot hold a NUL: {text!r}")
        offsets[text] = base + len(strings)
        strings += text.encode() + b"\0"

    rows = [
        _RECORD.pack(type_ << 28 | _RECORD.size, chid.bytes_le, offsets[name], offsets[key])
        for (type_, name, key), chids in groups.items()
        for chid in sorted(chids)
    ]

    return b"".join(rows) + _END + strings


def decode(data: bytes) -> tuple[Record, ...]:
    """Decode a table. Raises `FormatError` for every table that the stub rejects as a whole."""
    if len(data) > MAX_SIZE:
        raise FormatError(f"a hardware id table of {len(data)} bytes is beyond belief (limit {MAX_SIZE})")

    rows: list[tuple[int, bytes, int, int]] = []
    offset = 0
    while data[offset : offset + _RECORD.size] != _END:
        rows.append(unpack(_RECORD, data, offset, "a hardware id record, or the end mark,"))
        offset += _RECORD.size
    texts: dict[int, str] = {0: ""}
    return tuple(_decode_record(data, row, index, texts) for index, row in enumerate(rows))


def _decode_record(data: bytes, row: tuple[int, bytes, int, int], index: int, texts: dict[int, str]) -> Record:
    descriptor, chid, name, key = row
    kind = descriptor >> 28
    if descriptor & 0x0FFFFFFF != _RECORD.size or kind not in _TYPES:
        raise FormatError(f"hardware id record {index} has the unknown descriptor {descriptor:#010x}")
    for at in (name, key):
        if at not in texts:
            texts[at] = _decode_string(data, at, index)
    return Record(DeviceType(kind), UUID(bytes_le=chid), texts[name], texts[key])


def _decode_string(data: bytes, offset: int, index: int) -> str:
    end = data.find(b"\0", offset, offset + MAX_STRING + 1)
    if end < 0:
        raise FormatError(f"hardware id record {index} points at {offset:#x}, where no string of sensible length is")
    try:
        return data[offset:end].decode()
    except UnicodeDecodeError:
        raise FormatError(f"hardware id record {index} points at a string that is not UTF-8") from None


def group(records: Sequence[Record]) -> tuple[Device, ...]:
    """Records as devices, in order of first appearance."""
    groups: dict[tuple[DeviceType, str, str], set[UUID]] = {}
    for record in records:
        groups.setdefault((record.type, record.name, record.key), set()).add(record.chid)
    return tuple(Device(*key, frozenset(chids)) for key, chids in groups.items())
