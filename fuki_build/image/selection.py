"""The stub's selection on a machine: an exact simulation of its search (chid.c and pe.c, systemd 262.1)."""

from collections.abc import Sequence
from uuid import UUID

from msgspec import Struct

from fuki_build.formats.uki.hwids import DeviceType, Record
from fuki_build.hardware.chid import STUB_ORDER, stub_chids
from fuki_build.hardware.machine import Machine
from fuki_build.image.firmware import Slice, searched
from fuki_build.image.section import STUB_MEASURED, Section, overlaid
from fuki_build.image.stub import StubModel

_NO_CHID = UUID(int=0)
"""What the stub compares with where a machine has no id of a type: a record of zeros matches it."""


class Hit(Struct, frozen=True, kw_only=True):
    """The record that matched: its CHID, its slice, and the section that it selects.

    `section` is None if the slice has no section with that key: the machine then gets nothing.
    """

    kind: int
    chid: UUID
    record: Record
    profile: int | None
    section: Section | None

    @property
    def key(self) -> str | None:
        """The fwid or compatible string that the machine gets; None if it gets nothing."""
        return self.record.key if self.section else None


class Selection(Struct, frozen=True):
    """The stub's choice on one machine in one profile, and the sections that it measures into PCR 11, in order."""

    profile: int | None
    firmware: Hit | None
    devicetree: Hit | None
    measured: tuple[Section, ...]


def select(parts: Sequence[Slice], model: StubModel, machine: Machine, profile: int | None = None) -> Selection:
    """Simulate the stub on `machine` booting `profile` (None: an image without profiles).

    `parts` are the image's slices, decoded once for many machines.
    """
    # The base is searched first; a hit in the profile's own slice overrides it.
    own = searched(parts, profile)
    firmware = devicetree = None
    for part in own:
        if model.matches_firmware:
            firmware = _over(firmware, find(part, machine, DeviceType.UEFI_FW))
        if model.matches_devicetree:
            devicetree = _over(devicetree, find(part, machine, DeviceType.DEVICETREE))

    chosen = [hit.section for hit in (firmware, devicetree) if hit and hit.section]
    return Selection(profile, firmware, devicetree, measured_with(plainly_measured(own, model), chosen))


def _over(base: Hit | None, own: Hit | None) -> Hit | None:
    """A profile's hit overrides the base's, unless it selects a section that the profile does not have."""
    return own if own and (own.section or not (base and base.section)) else base


def find(part: Slice, machine: Machine, kind: DeviceType) -> Hit | None:
    """The first record that matches: in the stub's order of CHID types, then in the table's order."""
    if part.table is None:
        return None

    own = stub_chids(machine)
    for chid_type in STUB_ORDER:
        chid = own.get(chid_type, _NO_CHID)
        record = part.table.first.get((kind, chid))
        if record is not None:
            return Hit(
                kind=chid_type,
                chid=chid,
                record=record,
                profile=part.profile,
                section=part.selectable.get((record.type, record.key)),
            )
    return None


def plainly_measured(parts: Sequence[Slice], model: StubModel) -> tuple[Section, ...]:
    """The sections that the stub always measures into PCR 11; `parts` are those that it searches for a profile.

    Of sections that repeat in a slice, the first counts; an empty one counts as absent, even over the base's.
    """
    first: dict[str, Section] = {}
    for section in overlaid(parts[0].plain, [section for part in parts[1:] for section in part.plain]):
        if section.name not in model.unmeasured:
            first.setdefault(section.name, section)
    return tuple(section for section in first.values() if section.content.size)


def measured_with(plain: Sequence[Section], chosen: Sequence[Section]) -> tuple[Section, ...]:
    """All sections measured into PCR 11, in the stub's order: of sections that may repeat, only the chosen one."""
    return tuple(sorted((*plain, *chosen), key=lambda section: STUB_MEASURED.index(section.name)))
