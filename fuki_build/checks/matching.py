"""Rules about which machine gets which firmware, held against a simulation of the stub."""

from collections.abc import Iterator, Sequence

from fuki_build.hardware.chid import identity
from fuki_build.hardware.machine import Machine
from fuki_build.hooks.records import CheckSubject, Expectation, Problem, Problems, Rule, Severity
from fuki_build.image.image import ImageKind
from fuki_build.image.selection import Selection, select
from fuki_build.image.stub import MODELS

_NEWEST = MODELS[-1]
"""A stub that selects nothing is a matter of its own rule; tables are held against one that does."""


def _profiles(subject: CheckSubject) -> tuple[int | None, ...]:
    return subject.layout.profiles or (None,)


def holding(expectations: Sequence[Expectation], profile: int | None) -> list[Expectation]:
    """Those that hold when `profile` boots: its own, and those of the base for machines that it says nothing of.

    What follows from firmware and what is explicitly expected do not stand in for each other.
    """
    own = {(e.explicit, identity(e.machine)) for e in expectations if e.profile == profile}
    return [
        e
        for e in expectations
        if e.profile == profile or (e.profile is None and (e.explicit, identity(e.machine)) not in own)
    ]


def _cases(subject: CheckSubject) -> Iterator[tuple[Expectation, int | None, Selection]]:
    """Every expectation in every profile that it holds for, with what the stub does there."""
    if subject.layout.kind is not ImageKind.UKI:
        return
    for profile in _profiles(subject):
        for expectation in holding(subject.expectations, profile):
            yield expectation, profile, select(subject.slices, _NEWEST, expectation.machine, profile)


def _at(machine: Machine, profile: int | None) -> str:
    return machine.name if profile is None else f"{machine.name} booting @{profile}"


def wrong_firmware(subject: CheckSubject) -> Problems:
    seen = set()
    for expectation, profile, selection in _cases(subject):
        hit = selection.firmware
        if expectation.explicit or hit is None or hit.record.key == expectation.fwid:
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
    for expectation, profile, selection in _cases(subject):
        if not expectation.explicit and expectation.fwid and selection.firmware is None:
            yield Problem(
                f"{_at(expectation.machine, profile)} is to select {expectation.fwid!r}, and selects none",
                where=expectation.where,
                hint="its hardware ids are of types that the stub does not try",
            )


def expectations(subject: CheckSubject) -> Problems:
    for expectation, profile, selection in _cases(subject):
        hit = selection.firmware
        selected = hit.record.key if hit and hit.section else None
        if expectation.explicit and selected != expectation.fwid:
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

    others: dict[str, list[str]] = {}
    for profile in _profiles(subject):
        for machine in subject.machines:
            hit = select(subject.slices, _NEWEST, machine, profile).firmware
            fwid = hit.record.key if hit else ""
            stray = fwid in meant and machine not in meant[fwid]
            if stray and machine.name not in others.setdefault(fwid, []):
                others[fwid].append(machine.name)

    for fwid, machines in others.items():
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
