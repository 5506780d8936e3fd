"""Sections of images in memory, and what machines select of them."""

from struct import pack
from uuid import UUID

from fuki_build.formats.uki import efifw
from fuki_build.formats.uki.hwids import DeviceType
from fuki_build.hardware.chid import Dialect, chid
from fuki_build.hardware.machine import Machine
from fuki_build.image.blob import Blob
from fuki_build.image.firmware import slices
from fuki_build.image.section import Section
from fuki_build.image.selection import Selection, select
from fuki_build.image.stub import MODELS, StubModel

FIRMWARE, DEVICETREE = DeviceType.UEFI_FW, DeviceType.DEVICETREE
NEWEST = MODELS[-1]

BOARD = Machine(
    name="board",
    manufacturer="Maker",
    family="Family",
    product="Product",
    sku="SKU",
    baseboard_manufacturer="Board maker",
    baseboard_product="Board",
    bios_vendor="Vendor",
    bios_version="1",
    bios_major="01",
    bios_minor="02",
    enclosure_type="a",
    panel_id="BOE0b66",
)
OTHER = Machine(name="other", manufacturer="Other", product="Other")


def own(kind: int, machine: Machine = BOARD) -> UUID:
    computed = chid(machine, kind, Dialect.STUB)
    assert computed is not None
    return computed


def efi_firmware(fwid: str, profile: int | None = None, payload: bytes = b"payload") -> Section:
    content = efifw.encode_header(fwid, len(payload)) + payload
    return Section(name=".efifw", content=Blob.of_bytes(content), source=fwid, profile=profile)


def devicetree(compatible: str, profile: int | None = None) -> Section:
    name = compatible.encode() + b"\0"
    structure = pack(">I4xIII", 1, 3, len(name), 0) + name + bytes(-len(name) % 4) + pack(">II", 2, 9)
    header = pack(">10I", 0xD00DFEED, 0, 40, 40 + len(structure), 40, 17, 16, 0, 11, len(structure))
    return Section(
        name=".dtbauto", content=Blob.of_bytes(header + structure + b"compatible\0"), source=compatible, profile=profile
    )


def table(*rows: tuple[DeviceType, UUID, str], profile: int | None = None) -> Section:
    """A table with its records in this order."""
    records, strings = b"", b""
    base = 28 * (len(rows) + 1)
    for kind, value, key in rows:
        records += pack("<I16sII", kind << 28 | 28, value.bytes_le, 0, base + len(strings))
        strings += key.encode() + b"\0"
    return Section(name=".hwids", content=Blob.of_bytes(records + bytes(28) + strings), source="", profile=profile)


def plain(name: str, profile: int | None = None) -> Section:
    return Section(name=name, content=Blob.of_bytes(name.encode()), source="", profile=profile)


def run(
    *sections: Section, machine: Machine = BOARD, profile: int | None = None, model: StubModel = NEWEST
) -> Selection:
    return select(slices(sections), model, machine, profile)


def selected(selection: Selection) -> tuple[str, int] | None:
    """The fwid and the type of the id that led to it."""
    hit = selection.firmware
    return (hit.record.key, hit.kind) if hit else None
