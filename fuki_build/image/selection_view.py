"""What machines select, in plain, typed words: what `fuki match` and reports show."""

from collections.abc import Sequence

from msgspec import Struct, field

from fuki_build.formats.documents import Document, View
from fuki_build.formats.uki.hwids import DeviceType
from fuki_build.image.section import Section
from fuki_build.image.selection import Hit, Selection


class HitView(View, frozen=True, kw_only=True):
    """The record of a hardware id table that a machine hits: firmware by `fwid`, or a devicetree by `compatible`.

    `name` is the machine's in the table, `profile` whose table that is (null in the base), and `type` the type of the
    `chid` that hits. `present` tells whether that profile has what the record selects.
    """

    fwid: str | None
    compatible: str | None
    name: str
    type: int
    chid: str
    profile: int | None
    present: bool


class MeasuredView(View, frozen=True):
    """A section that the stub measures into PCR 11; `size` in bytes, `profile` null in the base."""

    name: str
    profile: int | None
    size: int


class MatchView(View, frozen=True, kw_only=True):
    """What a machine selects when a profile boots (null in an image without profiles).

    `expected` is the fwid that is expected, null also where none is; `holds` is null where nothing is expected.
    `handed_over` tells whether the image's program gives the firmware to the hypervisor, so that the second start is on
    it; without a program, or on hypervisors that take none, it is measured only.
    """

    machine: str
    profile: int | None
    firmware: HitView | None
    devicetree: HitView | None
    measured: tuple[MeasuredView, ...]
    expected: str | None = None
    holds: bool | None = None
    handed_over: bool = False


class MatchesDocument(Document, frozen=True):
    """What `fuki match --json` prints."""

    matches: tuple[MatchView, ...]


class MatchViews(Struct, frozen=True):
    """Views of what many machines select in one image; those of equal lists of measured sections are made once.

    `has_program` tells of a hand-over program in the image.
    """

    has_program: bool = False
    _measured: dict[tuple[int, ...], tuple[MeasuredView, ...]] = field(default_factory=dict)

    def view(self, machine: str, selection: Selection) -> MatchView:
        """What a machine selects, without an expectation."""
        firmware = selection.firmware
        return MatchView(
            machine=machine,
            profile=selection.profile,
            firmware=view_hit(firmware),
            devicetree=view_hit(selection.devicetree),
            measured=self._view_measured(selection.measured),
            handed_over=self.has_program and firmware is not None and firmware.section is not None,
        )

    def _view_measured(self, sections: Sequence[Section]) -> tuple[MeasuredView, ...]:
        key = tuple(section.index for section in sections)
        if key not in self._measured:
            self._measured[key] = tuple(MeasuredView(s.name, s.profile, s.content.size) for s in sections)
        return self._measured[key]


def view_hit(hit: Hit | None) -> HitView | None:
    if hit is None:
        return None
    record = hit.record
    return HitView(
        fwid=record.key if record.type is DeviceType.UEFI_FW else None,
        compatible=record.key if record.type is DeviceType.DEVICETREE else None,
        name=record.name,
        type=hit.kind,
        chid=str(hit.chid),
        profile=hit.profile,
        present=hit.section is not None,
    )
