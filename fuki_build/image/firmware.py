"""The firmware images in an image's `.efifw` sections, and the table by which machines select them."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from functools import cached_property
from uuid import UUID

from msgspec import Struct

from fuki_build.errors import FormatError
from fuki_build.formats.hardware import fdt
from fuki_build.formats.uefi import firmware
from fuki_build.formats.uefi.firmware import FirmwareSummary
from fuki_build.formats.uki import efifw, hwids
from fuki_build.formats.uki.efifw import EfiFw
from fuki_build.formats.uki.hwids import DeviceType, Record
from fuki_build.image.blob import Blob
from fuki_build.image.section import MATCHED, STUB_MEASURED, Section, by_profile

_HEAD = 8192


class FirmwareImage(Struct, frozen=True, kw_only=True):
    """One `.efifw` section: its header, payload and the payload's kind; or the flaw that makes it unusable."""

    section: Section
    """The section that it stands in."""
    header: EfiFw | None
    payload: Blob
    """The firmware, without the section's header; empty where that cannot be read."""
    content: FirmwareSummary | None
    """What kind of firmware it is (see `fuki_build.formats.uefi.firmware`); None where the header cannot be read."""
    flaw: FormatError | None = None
    """Why the header cannot be read."""

    @property
    def fwid(self) -> str | None:
        """Its name, by which hardware ids select it."""
        return self.header.fwid if self.header else None


def read_firmware(section: Section) -> FirmwareImage:
    """Decode a `.efifw` section's header and recognise its payload, reading some KiB."""
    try:
        header = efifw.decode(section.content.read_at(0, _HEAD), section.content.size)
        payload = section.content.slice(header.payload_offset, header.payload_size)
    except FormatError as error:
        return FirmwareImage(section=section, header=None, payload=Blob(), content=None, flaw=error)
    return FirmwareImage(section=section, header=header, payload=payload, content=firmware.recognise(payload.reader))


class HardwareTable(Struct, frozen=True, dict=True):
    """One `.hwids` section's records; or the flaw for which the stub rejects the table as a whole."""

    section: Section
    records: tuple[Record, ...]
    flaw: FormatError | None = None

    @cached_property
    def first(self) -> Mapping[tuple[DeviceType, UUID], Record]:
        """The record that matches each id: the first one of its type."""
        matches: dict[tuple[DeviceType, UUID], Record] = {}
        for record in self.records:
            matches.setdefault((record.type, record.chid), record)
        return matches

    def keys(self, kind: DeviceType) -> Mapping[str, Sequence[UUID]]:
        """The CHIDs of each fwid or compatible string, in the table's order."""
        return self._keys.get(kind, {})

    @cached_property
    def _keys(self) -> Mapping[DeviceType, Mapping[str, list[UUID]]]:
        keys: dict[DeviceType, dict[str, list[UUID]]] = {}
        for record in self.records:
            keys.setdefault(record.type, {}).setdefault(record.key, []).append(record.chid)
        return keys


def read_hardware_table(section: Section) -> HardwareTable:
    try:
        return HardwareTable(section, hwids.decode(section.content.read_small(hwids.MAX_SIZE, "the .hwids section")))
    except FormatError as error:
        return HardwareTable(section, (), error)


def read_compatible(section: Section) -> str | None:
    """The string by which a devicetree is selected; None if it has none, or is not a devicetree."""
    try:
        return fdt.compatible(section.content.reader)
    except FormatError:
        return None


class Slice(Struct, frozen=True, kw_only=True, dict=True):
    """The base (`profile` None) or one profile's own `sections`, which the stub matches together.

    The stub matches a slice's `.efifw` and `.dtbauto` only through the `.hwids` of that same slice (pe.c, 262.1).
    """

    profile: int | None
    """The profile's number; None for the base."""
    sections: tuple[Section, ...]
    """Its own sections, in the file's order."""
    firmware: tuple[FirmwareImage, ...]
    """The firmware in these, decoded."""
    table: HardwareTable | None
    devicetrees: tuple[Section, ...]

    @cached_property
    def plain(self) -> Sequence[Section]:
        """The sections that the stub measures whatever the machine selects."""
        return [s for s in self.sections if s.name in STUB_MEASURED and s.name not in MATCHED]

    @cached_property
    def selectable(self) -> Mapping[tuple[DeviceType, str], Section]:
        """The section for each fwid and compatible string; the first one where several have the same."""
        selectable: dict[tuple[DeviceType, str], Section] = {}

        for image in self.firmware:
            if image.fwid is not None:
                selectable.setdefault((DeviceType.UEFI_FW, image.fwid), image.section)
        for section in self.devicetrees:
            compatible = read_compatible(section)
            if compatible is not None:
                selectable.setdefault((DeviceType.DEVICETREE, compatible), section)

        return selectable


def searched(parts: Sequence[Slice], profile: int | None) -> Sequence[Slice]:
    """The slices that the stub searches for a profile: the base first, then the profile's own."""
    if profile is None:
        return parts[:1]
    at = bisect_left(parts, profile, lo=1, key=lambda part: part.profile or 0)
    return (*parts[:1], *(part for part in parts[at : at + 1] if part.profile == profile))


def slices(sections: Sequence[Section]) -> tuple[Slice, ...]:
    """The base first, then each profile, with its firmware images decoded."""
    sections_by_profile = by_profile(sections)
    profiles = sorted(profile for profile in sections_by_profile if profile is not None)

    parts = []
    for profile in (None, *profiles):
        own = sections_by_profile[profile]
        tables = [s for s in own if s.name == ".hwids"]

        parts.append(
            Slice(
                profile=profile,
                sections=tuple(own),
                firmware=tuple(read_firmware(s) for s in own if s.name == ".efifw"),
                table=read_hardware_table(tables[0]) if tables else None,
                devicetrees=tuple(s for s in own if s.name == ".dtbauto"),
            )
        )

    return tuple(parts)
