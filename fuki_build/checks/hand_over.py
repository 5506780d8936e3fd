"""Rules about the hand-over program: the section `.fuki`."""

from collections.abc import Iterator

from fuki_build.errors import FormatError
from fuki_build.formats.pe import pe
from fuki_build.formats.uki.hwids import DeviceType
from fuki_build.hardware.chid import FIELDS, STUB_ORDER, stub_chids
from fuki_build.hooks.rules import CheckSubject, Problem, Problems, Rule, Severity
from fuki_build.image.hand_over import read_table
from fuki_build.image.layout import PlacedSection
from fuki_build.image.section import HAND_OVER

_PANEL_TYPES = tuple(kind for kind in STUB_ORDER if "panel_id" in FIELDS[kind])


def _programs(subject: CheckSubject) -> Iterator[PlacedSection]:
    return (placed for placed in subject.layout.sections if placed.name == HAND_OVER)


def not_startable(subject: CheckSubject) -> Problems:
    optional = subject.layout.headers.optional
    for placed in _programs(subject):
        try:
            table = read_table(placed.section)
        except FormatError as error:
            yield Problem(error.message, where=HAND_OVER, hint=error.hint)
            continue

        if optional.address_of_entry_point != placed.header.virtual_address + table.entry:
            yield Problem(
                f"the image starts at {optional.address_of_entry_point:#x}, which is not the hand-over program",
                where=HAND_OVER,
                hint="build the image again: what changed it moved the entry",
            )

        for name, entry in (("the image", optional.address_of_entry_point), ("the stub", table.stub_entry)):
            flaw = _flaw_of_entry(subject, entry)
            if flaw:
                yield Problem(f"{name} starts at {entry:#x}, {flaw}", where=HAND_OVER)


def _flaw_of_entry(subject: CheckSubject, entry: int) -> str | None:
    """Why shim or strict firmware would not start there (shim 16.1, pe.c; UEFI 2.10, 2.3.4)."""
    readable = [
        placed.header
        for placed in subject.layout.sections
        if placed.header.virtual_address <= entry < placed.header.virtual_address + placed.header.virtual_size
        and placed.header.flags & pe.SCN_READ
    ]

    if len(readable) != 1:
        return f"in {len(readable) or 'no'} readable sections"
    if not readable[0].flags & pe.SCN_EXECUTE:
        return f"in {readable[0].name}, which is not executable"
    if readable[0].flags & pe.SCN_WRITE:
        return f"in {readable[0].name}, which is writable, too"
    return None


def handed_over_twice(subject: CheckSubject) -> Problems:
    stub = subject.layout.stub
    if stub and stub.model.hands_firmware_over and any(_programs(subject)):
        yield Problem(
            f"{stub} hands firmware over itself, after the program has",
            where=HAND_OVER,
            hint="remove [fuki.hand-over]",
        )


def nothing_to_hand_over(subject: CheckSubject) -> Problems:
    if any(_programs(subject)) and not any(part.firmware for part in subject.slices):
        yield Problem("the image has no firmware to hand over", where=HAND_OVER, hint="add [[fuki.firmware]]")


def panel_ids(subject: CheckSubject) -> Problems:
    if not any(_programs(subject)):
        return
    machines = (*subject.machines, *(expectation.machine for expectation in subject.expectations))
    ids = {
        chid: f"a CHID of type {kind} ({machine.name})"
        for machine in machines
        if machine.panel_id
        for kind, chid in stub_chids(machine).items()
        if kind in _PANEL_TYPES
    }

    for part in subject.slices:
        for record in part.table.records if part.table else ():
            meaning = "the id of no machine" if record.chid.int == 0 else ids.get(record.chid)
            if record.type is DeviceType.UEFI_FW and meaning:
                yield Problem(
                    f"{record.key} is selected through {meaning}, which depends on the display panel",
                    where=".hwids",
                    hint="list the machine under other chid-types",
                )


RULES = (
    Rule(
        id="hand-over-program",
        severity=Severity.ERROR,
        summary="The image starts in the hand-over program, and the program can start the stub",
        explanation="AddressOfEntryPoint lies in .fuki, whose table names the stub's own entry. shim wants an entry "
        "in exactly one readable section, firmware that enforces NX one that is executable and not writable.",
        check=not_startable,
    ),
    Rule(
        id="hand-over-twice",
        severity=Severity.WARNING,
        summary="Either fuki's program hands firmware over, or the stub",
        explanation="Where both do, the stub may reset the machine again into firmware that the program has given up "
        "on.",
        check=handed_over_twice,
    ),
    Rule(
        id="hand-over-nothing",
        severity=Severity.WARNING,
        summary="An image with a hand-over program has firmware",
        explanation="Without an .efifw section the program looks for firmware at every start and finds none.",
        check=nothing_to_hand_over,
    ),
    Rule(
        id="hand-over-panel-ids",
        severity=Severity.ERROR,
        summary="The hand-over program can compute every hardware id that selects firmware",
        explanation="It selects as the stub does, but does not ask for the display panel: CHIDs of the types 15 to "
        "17, and the id of zeros that the stub compares with where there is no panel, would select differently.",
        check=panel_ids,
    ),
)
