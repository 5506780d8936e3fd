"""What machines select from two images, and the registers that they measure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from fuki_build.hardware.machine import Machine
from fuki_build.image.image import ImageKind
from fuki_build.image.selection import Selector
from fuki_build.measure.views import RegisterView
from fuki_build.report.differences.compared import Compared, ProfilePairs
from fuki_build.report.differences.views import RegisterDifference, SelectedView, SelectionDifference
from fuki_build.report.facts import CaseFacts, ProfileFacts

_Profiles = tuple[int | None, int | None]


class CasePair(NamedTuple):
    """What machines select from the old image and from the new one, when these profiles boot.

    `machines` is empty where the images allow that, and none of the machines that are known does it.
    """

    profiles: _Profiles
    old: SelectedView
    new: SelectedView
    machines: tuple[str, ...]


def case_pairs(
    old: Compared, new: Compared, pairs: ProfilePairs, machines: Sequence[Machine], *, only_machines: bool
) -> tuple[CasePair, ...]:
    """The cases that are compared: those of machines, and unless `only_machines`, those that both images allow."""
    if any(side.layout.kind is not ImageKind.UKI for side in (old, new)):
        return ()
    outcomes = _outcomes(old, new, pairs, machines)

    cases: list[CasePair] = []
    for profiles in pairs.boots.items():
        own = outcomes[profiles]
        cases += [CasePair(profiles, *selected, names) for selected, names in own.items()]
        if not only_machines:
            possible = set(_possible(new, profiles[1]))
            both = [case for case in _possible(old, profiles[0]) if case in possible]
            cases += [CasePair(profiles, case, case, ()) for case in both if (case, case) not in own]
    return tuple(cases)


_Outcomes = Mapping[tuple[SelectedView, SelectedView], tuple[str, ...]]


def _outcomes(
    old: Compared, new: Compared, pairs: ProfilePairs, machines: Sequence[Machine]
) -> Mapping[_Profiles, _Outcomes]:
    """By profiles: what is selected from both images, and the machines that do; simulated once for equal profiles."""
    selectors = Selector(old.parts, old.layout.model), Selector(new.parts, new.layout.model)
    first_alike = tuple(
        {number: alike[0] for alike in selector.alike(list(profiles)) for number in alike}
        for selector, profiles in zip(selectors, (pairs.boots, pairs.boots.values()), strict=True)
    )

    known: dict[_Profiles, _Outcomes] = {}
    outcomes: dict[_Profiles, _Outcomes] = {}
    for profiles in pairs.boots.items():
        alike = first_alike[0][profiles[0]], first_alike[1][profiles[1]]
        if alike not in known:
            known[alike] = _simulated(selectors, alike, machines)
        outcomes[profiles] = known[alike]
    return outcomes


def _simulated(selectors: tuple[Selector, Selector], profiles: _Profiles, machines: Sequence[Machine]) -> _Outcomes:
    names: dict[tuple[SelectedView, SelectedView], dict[str, None]] = {}
    for machine in machines:
        one, other = (
            _selected(selector, machine, profile) for selector, profile in zip(selectors, profiles, strict=True)
        )
        names.setdefault((one, other), {})[machine.name] = None
    return {selected: tuple(same) for selected, same in names.items()}


def _selected(selector: Selector, machine: Machine, profile: int | None) -> SelectedView:
    firmware, devicetree = selector.firmware(machine, profile), selector.devicetree(machine, profile)
    return SelectedView(firmware.key if firmware else None, devicetree.key if devicetree else None)


def _possible(side: Compared, profile: int | None) -> Sequence[SelectedView]:
    return [SelectedView(case.fwid, case.compatible) for case in _cases(side, profile)]


def _cases(side: Compared, profile: int | None) -> Sequence[CaseFacts]:
    facts = _facts(side).get(profile)
    return facts.cases if facts else ()


def _facts(side: Compared) -> Mapping[int | None, ProfileFacts]:
    return {facts.profile: facts for facts in side.report.predictions.profiles}


def selection_differences(cases: Sequence[CasePair]) -> Iterator[SelectionDifference]:
    """Machines that get something else from the new image, those that are alike in one row."""
    profiles: dict[tuple[tuple[str, ...], SelectedView, SelectedView], list[int]] = {}
    for case in cases:
        if case.old != case.new:
            same = profiles.setdefault((case.machines, case.old, case.new), [])
            same += [] if case.profiles[1] is None else [case.profiles[1]]
    for (machines, old, new), numbers in profiles.items():
        yield SelectionDifference(machines=machines, profiles=tuple(numbers), old=old, new=new)


def register_differences(
    old: Compared, new: Compared, pairs: ProfilePairs, cases: Sequence[CasePair]
) -> Iterator[RegisterDifference]:
    """Every register of every profile that both images have: first those that depend on no selection."""
    before, after = _facts(old), _facts(new)
    by_profiles: dict[_Profiles, list[CasePair]] = {}
    for case in cases:
        by_profiles.setdefault(case.profiles, []).append(case)

    for profiles in pairs.boots.items():
        one, other = before.get(profiles[0]), after.get(profiles[1])
        if one is None or other is None:
            continue
        yield from _registers(other, one.registers, other.registers, None)
        predicted = _by_selection(one), _by_selection(other)
        for case in by_profiles.get(profiles, ()):
            values = _values(predicted[0], case.old, case.machines), _values(predicted[1], case.new, case.machines)
            yield from _registers(other, *values, case)


_BySelection = Mapping[SelectedView, Sequence[CaseFacts]]


def _by_selection(facts: ProfileFacts) -> _BySelection:
    cases: dict[SelectedView, list[CaseFacts]] = {}
    for case in facts.cases:
        cases.setdefault(SelectedView(case.fwid, case.compatible), []).append(case)
    return cases


def _values(predicted: _BySelection, selected: SelectedView, machines: Sequence[str]) -> Sequence[RegisterView]:
    """The values of a case. The base and a profile may have firmware of one name: then it is that of the machines."""
    cases = predicted.get(selected, ())
    if len(cases) > 1 and machines:
        cases = [case for case in cases if machines[0] in case.machines] or cases
    return cases[-1].registers if cases else ()


def _registers(
    profile: ProfileFacts, old: Sequence[RegisterView], new: Sequence[RegisterView], case: CasePair | None
) -> Iterator[RegisterDifference]:
    before = {(register.pcr, register.phase): register for register in old}
    for register in new:
        one = before.get((register.pcr, register.phase))
        if one is None:
            continue
        unknown = "; ".join(dict.fromkeys(filter(None, (one.unknown, register.unknown))))
        yield RegisterDifference(
            pcr=register.pcr,
            phase=register.phase,
            profile=profile.profile,
            profile_id=profile.id,
            selected_from_old=case.old if case else None,
            selected_from_new=case.new if case else None,
            machines=case.machines if case else (),
            same=None if unknown else one.values == register.values,
            old=one.values,
            new=register.values,
            unknown=unknown,
        )
