"""The firmware images in an image's `.efifw` sections, and the table that machines find them by."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from uuid import UUID

from msgspec import Struct

from fuki_build.errors import FormatError
from fuki_build.formats import efifw, fdt, firmware, hwids
from fuki_build.formats.efifw import EfiFw
from fuki_build.formats.firmware import Firmware
from fuki_build.formats.hwids import DeviceType, Record
from fuki_build.image.blob import Blob
from fuki_build.image.section import Section

_HEAD = 8192


class FirmwareImage(Struct, frozen=True):
    """One `.efifw` section: its header, payload and what that is; or the flaw that makes it useless."""

    section: Section
    header: EfiFw | None
    payload: Blob
    content: Firmware | None
    flaw: FormatError | None = None

    @property
    def fwid(self) -> str | None:
        return self.header.fwid if self.header else None


def read_firmware(section: Section) -> FirmwareImage:
    """Decode a `.efifw` section's header and recognise its payload, reading some KiB."""
    try:
        header = efifw.decode(section.content.read_at(0, _HEAD), section.content.size)
        payload = section.content.slice(header.payload_offset, header.payload_size)
    except FormatError as error:
        return FirmwareImage(section, None, Blob(), None, error)
    return FirmwareImage(section, header, payload, firmware.recognise(payload.reader))


class HardwareTable(Struct, frozen=True, dict=True):
    """One `.hwids` section's records; or the flaw for which the stub refuses it as a whole."""

    section: Section
    records: tuple[Record, ...]
    flaw: FormatError | None = None

    @cached_property
    def first(self) -> Mapping[tuple[DeviceType, UUID], Record]:
        """The record that matches each id: the first of its type."""
        found: dict[tuple[DeviceType, UUID], Record] = {}
        for record in self.records:
            found.setdefault((record.type, record.chid), record)
        return found

    def keys(self, kind: DeviceType) -> dict[str, list[UUID]]:
        """The CHIDs of each fwid or compatible string, in the table's order."""
        found: dict[str, list[UUID]] = {}
        for record in self.records:
            if record.type is kind:
                found.setdefault(record.key, []).append(record.chid)
        return found


def read_hardware_table(section: Section) -> HardwareTable:
    try:
        return HardwareTable(section, hwids.decode(section.content.read_small(hwids.MAX_SIZE, "the .hwids section")))
    except FormatError as error:
        return HardwareTable(section, (), error)


def read_compatible(section: Section) -> str | None:
    """The string by which a devicetree is selected; None where it has none, or is no devicetree."""
    try:
        return fdt.compatible(section.content.reader)
    except FormatError:
        return None


class Slice(Struct, frozen=True):
    """The base (`profile` None) or one profile's own sections: what the stub matches together.

    The stub matches a slice's `.efifw` and `.dtbauto` only through the `.hwids` of that same slice (pe.c, 262.1).
    """

    profile: int | None
    firmware: tuple[FirmwareImage, ...]
    table: HardwareTable | None
    devicetrees: tuple[Section, ...]


def slices(sections: Sequence[Section]) -> tuple[Slice, ...]:
    """The base first, then each profile, with its firmware images decoded."""
    profiles = sorted({s.profile for s in sections if s.profile is not None})
    found = []
    for profile in (None, *profiles):
        own = [s for s in sections if s.profile == profile]
        tables = [s for s in own if s.name == ".hwids"]
        found.append(
            Slice(
                profile=profile,
                firmware=tuple(read_firmware(s) for s in own if s.name == ".efifw"),
                table=read_hardware_table(tables[0]) if tables else None,
                devicetrees=tuple(s for s in own if s.name == ".dtbauto"),
            )
        )
    return tuple(found)
