"""Rules about which machine gets which firmware, held against a simulation of the stub."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from operator import itemgetter

from msgspec import Struct

from fuki_build.hardware.chid import identity
from fuki_build.hardware.machine import Machine
from fuki_build.hooks.rules import CheckSubject, Expectation, Problem, Problems, Rule, Severity
from fuki_build.image.image import ImageKind
from fuki_build.image.selection import Hit


class Expectations(Struct, frozen=True, dict=True):
    """What is expected of machines, by the profiles in which it holds."""

    all: Sequence[Expectation]

    def holding(self, profile: int | None) -> Sequence[Expectation]:
        """Those that hold when `profile` boots: its own, and those of the base for machines that it says nothing of.

        What follows from firmware and what is explicitly expected do not stand in for each other.
        """
        base = self._numbered.get(None, [])
        own = self._numbered.get(profile, []) if profile is not None else []
        if not own:
            return [expectation for _, expectation in base]

        said = {(e.explicit, identity(e.machine)) for _, e in own}
        others = [(number, e) for number, e in base if (e.explicit, identity(e.machine)) not in said]
        return [expectation for _, expectation in sorted((*others, *own), key=itemgetter(0))]

    def alike(self, profiles: Sequence[int | None]) -> list[list[int | None]]:
        """These profiles in groups for which the same holds: all of which nothing is said are one."""
        groups: dict[int | None, list[int | None]] = {}
        for profile in profiles:
            groups.setdefault(profile if profile in self._numbered else None, []).append(profile)
        return list(groups.values())

    @cached_property
    def _numbered(self) -> Mapping[int | None, Sequence[tuple[int, Expectation]]]:
        """The expectations of each profile with their places, as they are held in the order of all."""
        by_profile: dict[int | None, list[tuple[int, Expectation]]] = {}
        for number, expectation in enumerate(self.all):
            by_profile.setdefault(expectation.profile, []).append((number, expectation))
        return by_profile


def _profiles(subject: CheckSubject) -> Sequence[int | None]:
    return subject.layout.profiles or (None,)


def _failures(
    subject: CheckSubject, fails: Callable[[Expectation, Hit | None], bool]
) -> Iterator[tuple[Expectation, int | None, Hit | None]]:
    """Every expectation that fails in a profile that it holds for, with what the stub selects there."""
    if subject.layout.kind is not ImageKind.UKI:
        return

    expected = Expectations(subject.expectations)
    failing: dict[int | None, list[tuple[Expectation, Hit | None]]] = {}
    for selecting_alike in subject.selector.alike(_profiles(subject)):
        for alike in expected.alike(selecting_alike):
            # What one of them selects, all do, so that profiles cost nothing where they say nothing of firmware.
            hits = [(e, subject.selector.firmware(e.machine, alike[0])) for e in expected.holding(alike[0])]
            failed = [(e, hit) for e, hit in hits if fails(e, hit)]
            failing |= dict.fromkeys(alike, failed)

    for profile in _profiles(subject):
        for expectation, hit in failing[profile]:
            yield expectation, profile, hit


def _at(machine: Machine, profile: int | None) -> str:
    return machine.name if profile is None else f"{machine.name} booting @{profile}"


def wrong_firmware(subject: CheckSubject) -> Problems:
    def fails(expectation: Expectation, hit: Hit | None) -> bool:
        return not expectation.explicit and hit is not None and hit.record.key != expectation.fwid

    seen = set()
    for expectation, profile, hit in _failures(subject, fails):
        if hit is None:
            continue

        # Several profiles may select alike: one problem is enough.
        key = (expectation.where, expectation.machine.name, hit.record.key)
        if key not in seen:
            seen.add(key)
            yield Problem(
                f"{_at(expectation.machine, profile)} is to select {expectation.fwid!r}, and selects "
                f"{hit.record.key!r} through CHID type {hit.kind} ({hit.chid})",
                where=expectation.where,
                hint="list one machine under one firmware; 'fuki match' shows what each machine selects",
            )


def no_firmware(subject: CheckSubject) -> Problems:
    def fails(expectation: Expectation, hit: Hit | None) -> bool:
        return not expectation.explicit and bool(expectation.fwid) and hit is None

    for expectation, profile, _ in _failures(subject, fails):
        yield Problem(
            f"{_at(expectation.machine, profile)} is to select {expectation.fwid!r}, and selects none",
            where=expectation.where,
            hint="its hardware ids are of types that the stub does not try",
        )


def expectations(subject: CheckSubject) -> Problems:
    def fails(expectation: Expectation, hit: Hit | None) -> bool:
        return expectation.explicit and (hit.key if hit else None) != expectation.fwid

    for expectation, profile, hit in _failures(subject, fails):
        selected = hit.key if hit else None
        yield Problem(
            f"{_at(expectation.machine, profile)} selects {selected or 'no firmware'}, "
            f"expected is {expectation.fwid or 'none'}",
            where=expectation.where,
            hint="'fuki match' tells through which hardware id",
        )


def collision(subject: CheckSubject) -> Problems:
    """Machines of loaded platforms that get a firmware which the recipe meant for others."""
    if subject.layout.kind is not ImageKind.UKI or not subject.expectations:
        return
    meant: dict[str, set[Machine]] = {}
    for expectation in subject.expectations:
        if expectation.fwid:
            meant.setdefault(expectation.fwid, set()).add(expectation.machine)

    others: dict[str, dict[str, None]] = {}
    for profile, *_ in subject.selector.alike(_profiles(subject)):
        for machine in subject.machines:
            hit = subject.selector.firmware(machine, profile)
            fwid = hit.record.key if hit else ""
            if fwid in meant and machine not in meant[fwid]:
                others.setdefault(fwid, {})[machine.name] = None

    for fwid, names in others.items():
        machines = list(names)
        shown = ", ".join(machines[:5]) + (f" and {len(machines) - 5} more" if machines[5:] else "")
        yield Problem(
            f"{fwid!r} is also selected by {shown}, for which the recipe does not name it",
            where=".hwids",
            hint="their SMBIOS strings do not differ where it counts; name the platforms too if that is meant",
        )


RULES = (
    Rule(
        id="match-wrong-firmware",
        severity=Severity.ERROR,
        summary="Every declared machine selects the firmware that is meant for it",
        explanation="The stub tries a machine's hardware ids in a fixed order of types and takes the first record "
        "that matches. This rule simulates that search for every machine of the recipe's platforms, machine files and "
        "matches.",
        check=wrong_firmware,
    ),
    Rule(
        id="match-no-firmware",
        severity=Severity.ERROR,
        summary="Every declared machine selects some firmware",
        explanation="A machine that matches no record starts with the firmware that the cloud gave it.",
        check=no_firmware,
    ),
    Rule(
        id="match-collision",
        severity=Severity.WARNING,
        summary="No firmware is selected by machines of platforms that it is not meant for",
        explanation="Some platforms cannot be told apart by hardware ids: Azure and Hyper-V; Oracle Cloud, IBM Cloud "
        "and QEMU. Only machines of loaded platforms are looked at.",
        check=collision,
    ),
    Rule(
        id="match-expectation",
        severity=Severity.ERROR,
        summary="Every [[fuki.expect]] of the recipe holds",
        explanation="An expectation names a machine and the firmware that it is to select: a regression test for a "
        "fleet.",
        check=expectations,
    ),
)
