"""The stub's selection on a machine: an exact simulation of its search (chid.c and pe.c, systemd 262.1)."""

from collections.abc import Sequence
from functools import cached_property
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


class Selector(Struct, frozen=True, dict=True):
    """The stub's choices in one image on many machines: a table is searched once for a machine, whatever profile boots.

    `parts` are the image's slices.
    """

    parts: Sequence[Slice]
    model: StubModel

    def select(self, machine: Machine, profile: int | None = None) -> Selection:
        """Simulate the stub on `machine` booting `profile` (None: an image without profiles)."""
        firmware = self.firmware(machine, profile)
        devicetree = self.devicetree(machine, profile)
        return Selection(profile, firmware, devicetree, self.measured(profile, firmware, devicetree))

    def firmware(self, machine: Machine, profile: int | None) -> Hit | None:
        """The record by which firmware is selected."""
        return self._hit(machine, profile, DeviceType.UEFI_FW) if self.model.matches_firmware else None

    def devicetree(self, machine: Machine, profile: int | None) -> Hit | None:
        """The record by which a devicetree is selected."""
        return self._hit(machine, profile, DeviceType.DEVICETREE) if self.model.matches_devicetree else None

    def measured(self, profile: int | None, *hits: Hit | None) -> tuple[Section, ...]:
        """The sections that are measured where these are hit, in the stub's order."""
        chosen = tuple(hit.section for hit in hits if hit and hit.section)
        key = profile, tuple(section.position if section.position is not None else section for section in chosen)
        if key not in self._measured:
            if profile not in self._plain:
                self._plain[profile] = plainly_measured(searched(self.parts, profile), self.model)
            self._measured[key] = measured_with(self._plain[profile], chosen)
        return self._measured[key]

    def alike(self, profiles: Sequence[int | None]) -> list[list[int | None]]:
        """The profiles in groups in which every machine hits the same: those without a table of their own are one.

        Groups and profiles are in the order of `profiles`.
        """
        groups: dict[int | None, list[int | None]] = {}
        for profile in profiles:
            own = any(part.table for part in searched(self.parts, profile)[1:])
            groups.setdefault(profile if own else None, []).append(profile)
        return list(groups.values())

    def _hit(self, machine: Machine, profile: int | None, kind: DeviceType) -> Hit | None:
        """The base is searched first; a hit in the profile's own slice overrides it."""
        hit = None
        for part in searched(self.parts, profile):
            if part.table is None:
                continue
            key = part.profile, kind, machine
            if key not in self._hits:
                self._hits[key] = find(part, machine, kind)
            hit = _over(hit, self._hits[key])
        return hit

    @cached_property
    def _hits(self) -> dict[tuple[int | None, DeviceType, Machine], Hit | None]:
        return {}

    @cached_property
    def _plain(self) -> dict[int | None, tuple[Section, ...]]:
        return {}

    @cached_property
    def _measured(self) -> dict[tuple[int | None, tuple[int | Section, ...]], tuple[Section, ...]]:
        return {}


def select(parts: Sequence[Slice], model: StubModel, machine: Machine, profile: int | None = None) -> Selection:
    """One choice of a `Selector`."""
    return Selector(parts, model).select(machine, profile)


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
