"""Predictions: the measurements of every profile, with everything that machines can select there."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain, takewhile

from msgspec import Struct
from msgspec.structs import replace

from fuki_build.errors import FukiError
from fuki_build.formats.hashes import SIZES
from fuki_build.formats.uki.hwids import DeviceType
from fuki_build.hardware.machine import Machine
from fuki_build.image.firmware import Slice, searched, slices
from fuki_build.image.layout import Layout
from fuki_build.image.section import Section
from fuki_build.image.selection import Hit, Selector, measured_with, plainly_measured
from fuki_build.measure import pcr4, pcr7, pcr9, pcr11, pcr12
from fuki_build.measure.boot import Boot
from fuki_build.measure.booted_profile import BootedProfile
from fuki_build.measure.cmdline import booted_command_line
from fuki_build.measure.events import Event, Measurer, register
from fuki_build.measure.registers import extend
from fuki_build.measure.section_digests import SectionDigests

_MAX_CASES = 4096
"""Limit of combinations of firmware and devicetree that are distinguished without machines."""


REGISTERS = (pcr4.PCR, pcr9.PCR, pcr11.PCR, pcr12.PCR)
"""Registers that are always predicted."""


class Case(Struct, frozen=True, kw_only=True):
    """One possible boot: a profile, and the firmware and devicetree that the machine selects.

    `machines` are those known to do so; empty if the cases are all those that the image allows.
    """

    profile: int | None
    firmware: str | None
    devicetree: str | None
    measured: tuple[Section, ...]
    machines: tuple[str, ...] = ()


class Prediction(Struct, frozen=True, dict=True):
    """The measurements of one case, as events in chronological order, without the boot's phases."""

    case: Case
    banks: tuple[str, ...]
    events: tuple[Event, ...]

    @cached_property
    def registers(self) -> tuple[int, ...]:
        """The predicted registers; one without events stays zero."""
        return tuple(sorted({*REGISTERS, *(event.pcr for event in self.events)}))

    @cached_property
    def _values(self) -> dict[tuple[int, str], bytes | None]:
        return {(pcr, bank): register(self.events, pcr, bank) for pcr in self.registers for bank in self.banks}

    @cached_property
    def _after_phases(self) -> dict[tuple[str, tuple[str, ...]], bytes]:
        return {}

    def value(self, pcr: int, bank: str, phase: Sequence[str] = ()) -> bytes | None:
        """A register's value, for PCR 11 after the words of a phase path; None if it cannot be predicted."""
        start = self._values.get((pcr, bank), bytes(SIZES[bank]))
        if start is None or pcr != pcr11.PCR:
            return start

        value = start
        for count in range(1, len(phase) + 1):
            # Paths share prefixes, so each prefix is computed once, from the one before it.
            path = (bank, tuple(phase[:count]))
            if path not in self._after_phases:
                self._after_phases[path] = extend(bank, value, pcr11.phase_digest(phase[count - 1], bank))
            value = self._after_phases[path]

        return value

    def unknown(self, pcr: int) -> str:
        """Why a register cannot be predicted; empty if it can."""
        return "; ".join(event.unknown for event in self.events if event.pcr == pcr and event.unknown)


def cases(layout: Layout, machines: Iterable[Machine] | None, profiles: Sequence[int | None]) -> tuple[Case, ...]:
    """The distinct cases of these profiles: those of `machines`, or all that the image allows if that is None.

    Raises `FukiError` if there are too many.
    """
    parts = slices(layout.plain_sections)
    if machines is not None:
        return tuple(_selected(Selector(parts, layout.model), list(machines), profiles))

    distinct: list[Case] = []
    for profile in profiles:
        distinct += _possible(layout, parts, profile, _MAX_CASES - len(distinct))
    return tuple(distinct)


def labelled_cases(layout: Layout, machines: Iterable[Machine]) -> tuple[Case, ...]:
    """Every case that the image allows in any profile, with those of `machines` to which it applies.

    Raises `FukiError` if there are too many.
    """
    profiles: Sequence[int | None] = layout.profiles or (None,)
    names = {_key(case): case.machines for case in cases(layout, machines, profiles)}
    possible = cases(layout, None, profiles)
    return tuple(replace(case, machines=names.get(_key(case), ())) for case in possible)


def firmware_case(layout: Layout, profile: int | None, fwid: str) -> Case:
    """The case of a machine that selects this firmware and no devicetree; without firmware if no id leads to it."""
    parts = searched(slices(layout.plain_sections), profile)

    selected: list[Section] = []
    for part in parts if layout.model.matches_firmware else ():
        matching = [section for key, section in _selectable(part, DeviceType.UEFI_FW).values() if key == fwid]
        selected = matching or selected

    measured = measured_with(plainly_measured(parts, layout.model), selected)
    return Case(profile=profile, firmware=fwid if selected else None, devicetree=None, measured=measured)


def _key(case: Case) -> tuple[int | None, tuple[int, ...]]:
    return case.profile, tuple(section.index for section in case.measured)


class _Choice(Struct, frozen=True):
    """What machines hit, all of which select the same sections; their names, and the hits of the first."""

    firmware: Hit | None
    devicetree: Hit | None
    machines: tuple[str, ...]


def _selected(selector: Selector, machines: Sequence[Machine], profiles: Sequence[int | None]) -> Iterator[Case]:
    """One case in each profile for all machines that select the same sections."""
    choices: dict[int | None, Sequence[_Choice]] = {}
    for alike in selector.alike(profiles):
        choices |= dict.fromkeys(alike, _choices(selector, machines, alike[0]))

    for profile in profiles:
        for choice in choices[profile]:
            yield Case(
                profile=profile,
                firmware=choice.firmware.key if choice.firmware else None,
                devicetree=choice.devicetree.key if choice.devicetree else None,
                measured=selector.measured(profile, choice.firmware, choice.devicetree),
                machines=choice.machines,
            )


def _choices(selector: Selector, machines: Sequence[Machine], profile: int | None) -> Sequence[_Choice]:
    names: dict[tuple[int, ...], list[str]] = {}
    first: dict[tuple[int, ...], tuple[Hit | None, Hit | None]] = {}

    for machine in machines:
        hits = selector.firmware(machine, profile), selector.devicetree(machine, profile)
        key = tuple(hit.section.index if hit and hit.section else -1 for hit in hits)
        first.setdefault(key, hits)
        names.setdefault(key, []).append(machine.name)

    return [_Choice(*first[key], tuple(dict.fromkeys(same))) for key, same in names.items()]


def _possible(layout: Layout, parts: Sequence[Slice], profile: int | None, limit: int) -> list[Case]:
    """The case of no selection first, then every firmware and devicetree to which a hardware id of the image leads."""
    own_parts = searched(parts, profile)
    firmware: dict[int, tuple[str, Section]] = {}
    trees: dict[int, tuple[str, Section]] = {}

    for part in own_parts:
        if layout.model.matches_firmware:
            firmware.update(_selectable(part, DeviceType.UEFI_FW))
        if layout.model.matches_devicetree:
            trees.update(_selectable(part, DeviceType.DEVICETREE))

    if (1 + len(firmware)) * (1 + len(trees)) > limit:
        raise FukiError(
            f"the image has {len(firmware)} firmware images and {len(trees)} devicetrees, too many to combine",
            where=layout.where,
            hint="name the machines that matter",
        )

    plain = plainly_measured(own_parts, layout.model)
    possible = []
    for key, image in [(None, None), *firmware.values()]:
        for tree_key, tree in [(None, None), *trees.values()]:
            chosen = [section for section in (image, tree) if section is not None]
            possible.append(
                Case(profile=profile, firmware=key, devicetree=tree_key, measured=measured_with(plain, chosen))
            )

    return possible


def _selectable(part: Slice, kind: DeviceType) -> dict[int, tuple[str, Section]]:
    """The sections that a slice's table can select, with their keys; of several with one key, the first."""
    keys = part.table.keys(kind) if part.table else {}
    return {
        section.index: (key, section)
        for (own_kind, key), section in part.selectable.items()
        if own_kind is kind and key in keys
    }


def predict(contents: SectionDigests, selected: Sequence[Case], boot: Boot | None = None) -> tuple[Prediction, ...]:
    """The measurements of each case, in the banks of `contents`.

    Raises `FukiError` if the image cannot be measured at all, for instance because its sections are impossibly large.
    """
    circumstances = boot or Boot()
    # Cases share most events: those around the sections by profile, and those of each section.
    around: dict[int | None, tuple[tuple[Event, ...], tuple[Event, ...]]] = {}
    events_by_section: dict[int, tuple[Event, ...]] = {}
    predictions = []

    for case in selected:
        subject = BootedProfile(contents, case.profile, case.measured)
        if case.profile not in around:
            around[case.profile] = _around(subject, circumstances)
        before, after = around[case.profile]

        for section in case.measured:
            if section.index not in events_by_section:
                events_by_section[section.index] = tuple(pcr11.section_events(section, contents))

        section_events = chain.from_iterable(events_by_section[section.index] for section in case.measured)
        predictions.append(Prediction(case, contents.banks, (*before, *section_events, *after)))

    return tuple(predictions)


def _around(subject: BootedProfile, boot: Boot) -> tuple[tuple[Event, ...], tuple[Event, ...]]:
    """The events before and after the sections, which do not depend on the machine's selection (stub.c)."""
    line = booted_command_line(subject, boot)
    banks = subject.contents.banks
    variables = pcr7.variable_events(boot.policy, banks) if boot.policy else ()
    authorities = pcr7.authority_events(boot.policy, banks) if boot.policy else {}

    before = (*boot.firmware, *variables, *pcr4.start_events(subject, boot), *pcr12.profile_events(subject))
    after = (
        *pcr12.passed_events(subject, line),
        *pcr4.addon_events(subject, boot),
        *pcr12.added_events(subject, line, boot),
        *pcr4.kernel_events(subject, boot),
        *pcr9.kernel_events(subject, line, boot),
    )

    return tuple(_vouched(before, authorities)), tuple(_vouched(after, authorities))


def _vouched(events: Iterable[Event], authorities: Mapping[str, Event]) -> Iterator[Event]:
    """The events, each program's preceded by its authority: firmware verifies before it measures."""
    for event in events:
        if event.pcr == pcr4.PCR and event.source in authorities:
            yield authorities[event.source]
        yield event


def before_stub(prediction: Prediction) -> Prediction:
    """What is measured until the image starts: all that a start leaves which ends in a hand-over of the firmware.

    The hand-over program measures nothing, and runs before the stub does.
    """
    events = tuple(takewhile(lambda event: event.by is Measurer.FIRMWARE, prediction.events))
    return Prediction(prediction.case, prediction.banks, events)
