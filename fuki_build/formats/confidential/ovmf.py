"""edk2's firmware for virtual machines: the GUID table before the reset vector, and the metadata it points to.

Sources: OvmfPkg/ResetVector/Ia16/ResetVectorVtf0.asm, OvmfPkg/ResetVector/X64/OvmfSevMetadata.asm and
IntelTdxMetadata.asm, MdePkg/Include/Pi/PiFirmwareVolume.h.
"""

from enum import IntEnum
from struct import Struct
from typing import NamedTuple
from uuid import UUID

import msgspec

from fuki_build.errors import FormatError
from fuki_build.formats.reader import Reader, unpack

FOOTER = UUID("96b582de-1fb2-45f7-baea-a366c55a082d")
SEV_METADATA = UUID("dc886566-984a-4798-a75e-5585a7bf67cc")
SEV_HASH_TABLE = UUID("7255371f-3a3b-4b04-927b-1da6efa8d454")
SEV_SECRET = UUID("4c2eb361-7d9b-4cc3-8081-127c90d3d294")
SEV_ES_RESET = UUID("00f771de-1a7e-4fcb-890e-68c77e2fb44e")
SVSM_INFO = UUID("a789a612-0597-4c4b-a49f-cbb1fe9d1ddd")
TDX_METADATA = UUID("e47a6535-984a-4798-865e-4685a7bf8ec2")
IGVM_METADATA = UUID("784fa70e-3176-4677-8a20-04b68699e374")

ENTRY_NAMES = {
    SEV_METADATA: "SEV metadata",
    SEV_SECRET: "SEV launch secret",
    SEV_HASH_TABLE: "SEV kernel hash table",
    SEV_ES_RESET: "SEV-ES reset block",
    SVSM_INFO: "SVSM info",
    TDX_METADATA: "TDX metadata",
    IGVM_METADATA: "IGVM metadata",
}

_FOOTER_END = 32  # the footer's GUID ends this many bytes before the end of the file
_ENTRY_TAIL = Struct("<H16s")  # an entry's whole length, its GUID; its data stand before them
_METADATA_OFFSET = Struct("<I")
_ADDRESS = Struct("<I")
_METADATA_HEADER = Struct("<4sIII")  # ASEV, TDVF or IGVM, length, version, number of sections
_SEV_SECTION = Struct("<III")
_TDX_SECTION = Struct("<IIQQII")
_IGVM_SECTION = Struct("<III")
_MAX_SECTIONS = 1024

MR_EXTEND = 1
"""Attribute of a `TdxSection` whose content goes into MRTD."""
PAGE_AUG = 2
"""Attribute of a `TdxSection` that is not part of the launch: its pages are added when the guest runs."""


class SevKind(IntEnum):
    """What a `SevSection` is for."""

    SEC_MEM = 1
    SECRETS = 2
    CPUID = 3
    SVSM_CAA = 4
    KERNEL_HASHES = 0x10


class TdxKind(IntEnum):
    """What a `TdxSection` is for (Intel, "TDX Virtual Firmware Design Guide")."""

    BFV = 0
    CFV = 1
    TD_HOB = 2
    TEMP_MEM = 3
    PERM_MEM = 4
    PAYLOAD = 5
    PAYLOAD_PARAM = 6


class IgvmKind(IntEnum):
    """What an `IgvmSection` is for: a page that the tool which builds an IGVM file from the firmware fills."""

    PARAMETER_AREA = 0x100
    MEMORY_MAP = 0x101
    VP_COUNT = 0x102
    HOB_AREA = 0x200


def kind_name(kinds: type[IntEnum], kind: int) -> str:
    """The name of a section's kind, or its number where it is none of `kinds`."""
    return kinds(kind).name if kind in kinds.__members__.values() else f"{kind:#x}"


class SevSection(NamedTuple):
    """Guest memory that takes part in an SNP launch; `kind` is a `SevKind`."""

    address: int
    size: int
    kind: int


class TdxSection(NamedTuple):
    """Guest memory of a TD at launch; `kind` is a `TdxKind`."""

    offset: int
    raw_size: int
    address: int
    memory_size: int
    kind: int
    attributes: int


class IgvmSection(NamedTuple):
    """Guest memory that an IGVM file of the firmware describes; `kind` is an `IgvmKind`."""

    address: int
    size: int
    kind: int


class Ovmf(msgspec.Struct, frozen=True):
    """The table's entries (GUID to data), and the metadata of each confidential technology, if present."""

    entries: dict[UUID, bytes]
    sev: tuple[SevSection, ...] | None
    tdx: tuple[TdxSection, ...] | None
    igvm: tuple[IgvmSection, ...] | None = None

    @property
    def entry_names(self) -> tuple[str, ...]:
        return tuple(ENTRY_NAMES.get(guid, str(guid)) for guid in self.entries)

    @property
    def reset_address(self) -> int | None:
        """Where the other vCPUs of SEV-ES and SNP guests start."""
        return self._address(SEV_ES_RESET)

    @property
    def hash_table_address(self) -> int | None:
        """Where the hashes of kernel, initrd and command line are placed; builds that reserve no space say 0."""
        return self._address(SEV_HASH_TABLE) or None

    @property
    def svsm_entry(self) -> int | None:
        """Entry point of an SVSM image, as an offset from the image's start."""
        return self._address(SVSM_INFO)

    def _address(self, guid: UUID) -> int | None:
        if guid not in self.entries:
            return None
        (address,) = unpack(_ADDRESS, self.entries[guid], 0, f"the {ENTRY_NAMES[guid]} entry")
        return int(address)


def decode(image: Reader) -> Ovmf | None:
    """The GUID table of a firmware image; None where there is none. Raises `FormatError` for an inconsistent one."""
    footer_at = image.size - _FOOTER_END - _ENTRY_TAIL.size
    if footer_at < 0:
        return None

    length, guid = _ENTRY_TAIL.unpack(image.read(footer_at, _ENTRY_TAIL.size, "the OVMF footer"))
    if UUID(bytes_le=guid) != FOOTER:
        return None

    entries = _decode_entries(image, footer_at, length)
    sev = _decode_metadata(image, entries, SEV_METADATA, b"ASEV", _SEV_SECTION)
    tdx = _decode_metadata(image, entries, TDX_METADATA, b"TDVF", _TDX_SECTION)
    igvm = _decode_metadata(image, entries, IGVM_METADATA, b"IGVM", _IGVM_SECTION)

    return Ovmf(
        entries,
        None if sev is None else tuple(SevSection._make(row) for row in sev),
        None if tdx is None else tuple(TdxSection._make(row) for row in tdx),
        None if igvm is None else tuple(IgvmSection._make(row) for row in igvm),
    )


def _decode_entries(image: Reader, footer_at: int, length: int) -> dict[UUID, bytes]:
    """Entries precede the footer and are walked backwards; `length` includes the footer."""
    size = length - _ENTRY_TAIL.size
    if size < 0 or size > footer_at:
        raise FormatError(f"the OVMF GUID table claims {length} bytes, which do not fit")
    table = image.read(footer_at - size, size, "the OVMF GUID table")

    entries: dict[UUID, bytes] = {}
    end = size
    while end > 0:
        entry_size, guid = unpack(_ENTRY_TAIL, table, end - _ENTRY_TAIL.size, "an entry of the OVMF GUID table")
        if not _ENTRY_TAIL.size <= entry_size <= end:
            raise FormatError(f"an entry of the OVMF GUID table claims {entry_size} bytes, {end} are left")
        # Of two entries with one GUID, readers that walk the table take the one that they meet first.
        entries.setdefault(UUID(bytes_le=guid), table[end - entry_size : end - _ENTRY_TAIL.size])
        end -= entry_size

    return entries


def _metadata_offset(image: Reader, entries: dict[UUID, bytes], guid: UUID) -> int | None:
    """Where metadata start in the file: the entry holds their distance from the end of the file."""
    if guid not in entries:
        return None
    (distance,) = unpack(_METADATA_OFFSET, entries[guid], 0, f"the {ENTRY_NAMES[guid]} entry")
    if distance > image.size:
        raise FormatError(f"the {ENTRY_NAMES[guid]} would start {distance} bytes before the end of the file")
    return int(image.size - distance)


def _decode_metadata(
    image: Reader, entries: dict[UUID, bytes], guid: UUID, magic: bytes, section: Struct
) -> list[tuple[int, ...]] | None:
    """The rows of one technology's metadata; None where the image has none."""
    offset = _metadata_offset(image, entries, guid)
    if offset is None:
        return None

    name = ENTRY_NAMES[guid]
    actual_magic, length, version, count = _METADATA_HEADER.unpack(
        image.read(offset, _METADATA_HEADER.size, f"the {name}")
    )
    if actual_magic != magic or version != 1 or count > _MAX_SECTIONS:
        raise FormatError(
            f"the {name} are not understood (magic {actual_magic!r}, version {version}, {count} sections)"
        )
    if length < _METADATA_HEADER.size + count * section.size:
        raise FormatError(f"the {name} claim {length} bytes, too few for their {count} sections")

    rows = image.read(offset + _METADATA_HEADER.size, count * section.size, f"the sections of the {name}")
    return list(section.iter_unpack(rows))
