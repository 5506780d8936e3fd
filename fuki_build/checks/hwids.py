"""Rules about the hardware id table: `.hwids` sections."""

from collections.abc import Mapping
from uuid import UUID

from fuki_build.formats.uki.hwids import DeviceType
from fuki_build.hardware.chid import FIELDS, STUB_ORDER, Dialect, chid, stub_chids
from fuki_build.hooks.rules import CheckSubject, Problem, Problems, Rule, Severity
from fuki_build.image.firmware import Slice


def _name(part: Slice) -> str:
    return ".hwids" if part.profile is None else f"@{part.profile} .hwids"


def broken_table(subject: CheckSubject) -> Problems:
    for part in subject.slices:
        if part.table and part.table.flaw:
            yield Problem(f"the stub refuses the whole table: {part.table.flaw.message}", where=_name(part))


def _ambiguous(subject: CheckSubject, kind: DeviceType, hint: str) -> Problems:
    for part in subject.slices:
        owners: dict[UUID, list[str]] = {}
        for record in part.table.records if part.table else ():
            keys = owners.setdefault(record.chid, []) if record.type is kind else [record.key]
            if record.key not in keys:
                keys.append(record.key)
        for id_, keys in owners.items():
            if len(keys) > 1:
                message = f"the hardware id {id_} selects {' and '.join(map(repr, keys))}; the stub takes the first"
                yield Problem(message, where=_name(part), hint=hint)


def ambiguous_firmware(subject: CheckSubject) -> Problems:
    return _ambiguous(subject, DeviceType.UEFI_FW, "list each hardware id under one firmware")


def ambiguous_devicetree(subject: CheckSubject) -> Problems:
    return _ambiguous(subject, DeviceType.DEVICETREE, "list the one that is meant first")


def missing_firmware(subject: CheckSubject) -> Problems:
    for part in subject.slices:
        present = {image.fwid for image in part.firmware}
        for fwid in part.table.keys(DeviceType.UEFI_FW) if part.table else ():
            if fwid not in present:
                yield Problem(
                    f"the table selects firmware {fwid!r}, which is not there",
                    where=_name(part),
                    hint="add it, or drop its ids",
                )


def empty_table(subject: CheckSubject) -> Problems:
    for part in subject.slices:
        if part.table and not part.table.flaw and not part.table.records:
            yield Problem("the table has no records: no machine matches", where=_name(part))


def never_tried(subject: CheckSubject) -> Problems:
    useless = _never_tried(subject)
    for part in subject.slices:
        for record in part.table.records if part.table else ():
            if record.chid in useless:
                yield Problem(
                    f"the stub never tries {record.chid} ({useless[record.chid]})",
                    where=_name(part),
                    hint=f"it tries the types {', '.join(map(str, sorted(STUB_ORDER)))}",
                )


def _never_tried(subject: CheckSubject) -> Mapping[UUID, str]:
    """The ids of the tables that are of machines' types which the stub never tries, and no machine's of another type.

    Hashing all ids of all machines is slow: what is not in a table, and the many that a machine is known to be tried
    by, are left out first.
    """
    listed = {record.chid for part in subject.slices if part.table for record in part.table.records}
    for machine in subject.machines if listed else ():
        listed.difference_update(stub_chids(machine).values())

    kinds = [kind for kind in FIELDS if kind not in STUB_ORDER]
    useless: dict[UUID, str] = {}
    for machine in subject.machines if listed else ():
        for kind in kinds:
            for dialect in Dialect:
                hardware_id = chid(machine, kind, dialect)
                if hardware_id in listed:
                    useless[hardware_id] = f"type {kind} of {machine.name}"

    # One machine's useless id may be another's useful one, in the other dialect too.
    for machine in subject.machines if useless else ():
        for kind in STUB_ORDER:
            hardware_id = chid(machine, kind, Dialect.MICROSOFT)
            if hardware_id is not None:
                useless.pop(hardware_id, None)
    return useless


def profile_without_table(subject: CheckSubject) -> Problems:
    for part in subject.slices:
        if part.profile is None or part.table is not None:
            continue
        names = [".efifw"] * bool(part.firmware) + [".dtbauto"] * bool(part.devicetrees)
        if names:
            yield Problem(
                f"the profile brings {' and '.join(names)} but no .hwids, so none of them is selected by hardware id",
                where=f"@{part.profile}",
                hint="give the profile's firmware platforms, hwids or chids of its own",
            )


RULES = (
    Rule(
        id="hwids-broken",
        severity=Severity.ERROR,
        summary="The stub accepts the hardware id table",
        explanation="One record of an unknown type, or that points outside the section, makes the stub refuse the "
        "whole table.",
        check=broken_table,
    ),
    Rule(
        id="hwids-ambiguous",
        severity=Severity.ERROR,
        summary="No hardware id selects two firmware images",
        explanation="The first record that matches wins, so a second one with the same id and another target never "
        "does.",
        check=ambiguous_firmware,
    ),
    Rule(
        id="hwids-ambiguous-devicetree",
        severity=Severity.NOTE,
        summary="No hardware id selects two devicetrees",
        explanation="systemd's own collection has laptops that differ only in ids of narrower types, which are tried "
        "first; the ids that they share then never decide.",
        check=ambiguous_devicetree,
    ),
    Rule(
        id="hwids-missing-firmware",
        severity=Severity.ERROR,
        summary="The table selects only firmware that is there",
        explanation="A machine that matches such a record gets no firmware, although others further down might match "
        "it.",
        check=missing_firmware,
    ),
    Rule(
        id="hwids-empty",
        severity=Severity.WARNING,
        summary="The table has records",
        explanation="An empty table is measured, and matches no machine.",
        check=empty_table,
    ),
    Rule(
        id="hwids-never-tried",
        severity=Severity.WARNING,
        summary="Every hardware id is of a type that the stub tries",
        explanation="systemd-stub tries the CHID types 17, 16, 15, 3, 6, 8, 10, 4, 5, 7, 9 and 11. Those of types 0, "
        "1, 2, 12, 13 and 14 of the loaded platforms' machines are recognised and reported; ids of other machines "
        "cannot be.",
        check=never_tried,
    ),
    Rule(
        id="profile-without-hwids",
        severity=Severity.ERROR,
        summary="A profile with firmware or devicetrees of its own brings a table of its own",
        explanation="Within a profile the stub matches .efifw and .dtbauto only through the .hwids of that same "
        "profile; the base's table does not count for them.",
        check=profile_without_table,
    ),
)
