"""A machine's registers after an update as plain, typed values: the form that `fuki measure --log --json` shows."""

from collections.abc import Iterator, Mapping, Sequence

from fuki_build.formats.documents import Document, View
from fuki_build.formats.tcg import event_data
from fuki_build.formats.tcg.event_log import LogKind
from fuki_build.image.layout import Layout
from fuki_build.measure import pcr11
from fuki_build.measure.events import in_hex
from fuki_build.measure.explain import registers as replayed
from fuki_build.measure.log_views import register_name
from fuki_build.measure.updated_log import UpdatedEvent, UpdatedLog
from fuki_build.measure.views import BootView, boot_view
from fuki_build.release.machine_update import MachineUpdate

_PCRS = range(16)
"""Registers that firmware, boot loaders and the system extend; later ones are of other roots of trust."""


class UpdatedRegisterView(View, frozen=True, kw_only=True):
    """A register before and after the update, by bank in hex; for PCR 11 after a phase path, too.

    `before` is what the log gives, `values` is empty where `unknown` says why they cannot be told.
    """

    register: int
    name: str
    phase: str | None
    before: Mapping[str, str]
    values: Mapping[str, str]
    unknown: str
    changes: bool


class UpdatedEventView(View, frozen=True, kw_only=True):
    """An event after the update, or one that is not measured any more: then `digests` is empty.

    They are empty, too, where `unknown` says why they cannot be told. `before` are those in the log, empty for what is
    added. `by` is the program that measures it, as far as that is predicted.
    """

    register: int
    change: str
    type: str
    by: str | None
    what: str
    before: Mapping[str, str]
    digests: Mapping[str, str]
    unknown: str


class UpdateView(Document, frozen=True, kw_only=True):
    """Registers of one machine after an update from what `log` is of, and the events that make them.

    `profile`, `fwid` and `compatible` are what the machine boots and selects of `image`; `old` is null where the image
    that it booted was not given.
    """

    image: str
    old: str | None
    log: str
    kind: str
    banks: Sequence[str]
    phases: Sequence[str]
    profile: int | None
    fwid: str | None
    compatible: str | None
    boot: BootView
    registers: Sequence[UpdatedRegisterView]
    events: Sequence[UpdatedEventView]


def update_view(
    update: MachineUpdate,
    new: Layout,
    old: Layout | None,
    log: str,
    banks: Sequence[str],
    phases: Sequence[Sequence[str]],
    registers: Sequence[int] = (),
) -> UpdateView:
    """The view of an update in these banks, for these registers or for all; `phases` are words of phase paths."""
    after, case = update.log, update.prediction.case
    known = sorted({*after.registers, *_PCRS}) if after.log.kind is LogKind.TPM else after.registers
    shown = [register for register in known if not registers or register in registers]

    return UpdateView(
        image=new.where or new.name,
        old=None if old is None else old.where or old.name,
        log=log,
        kind=after.log.kind.value,
        banks=banks,
        phases=[":".join(words) for words in phases],
        profile=case.profile,
        fwid=case.firmware,
        compatible=case.devicetree,
        boot=boot_view(update.boot),
        registers=list(_registers(after, shown, banks, phases)),
        events=[_event(event, banks) for event in after.events if event.register in shown],
    )


def _registers(
    after: UpdatedLog, shown: Sequence[int], banks: Sequence[str], phases: Sequence[Sequence[str]]
) -> Iterator[UpdatedRegisterView]:
    logged = {bank: replayed(after.log, bank) for bank in banks}

    for register in shown:
        before = {bank: logged[bank].get(register, after.start(register, bank)).hex() for bank in banks}
        unknown = after.unknown(register)
        has_phases = register == pcr11.PCR and after.log.kind is LogKind.TPM

        for words in ((), *phases) if has_phases else ((),):
            values = {bank: after.value(register, bank, words) for bank in banks}
            known = {bank: value.hex() for bank, value in values.items() if value is not None}
            yield UpdatedRegisterView(
                register=register,
                name=register_name(after.log.kind, register),
                phase=":".join(words) or None,
                before={} if words else before,
                values=known,
                unknown=unknown,
                changes=after.changes(register),
            )


def _event(event: UpdatedEvent, banks: Sequence[str]) -> UpdatedEventView:
    logged, predicted = event.logged, event.predicted
    kind, by, text = "", None, ""
    if predicted:
        kind, by, text = predicted.type, predicted.by.value, predicted.what
    elif logged:
        kind, text = logged.type_name, event_data.describe(logged)

    before = logged.digests if logged else {}
    return UpdatedEventView(
        register=event.register,
        change=event.change.value,
        type=kind,
        by=by,
        what=text,
        before=in_hex({bank: before[bank] for bank in banks if bank in before}),
        digests=in_hex({bank: event.digests[bank] for bank in banks if bank in event.digests}),
        unknown=event.unknown,
    )
