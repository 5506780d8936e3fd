"""Predictions as plain, typed values: the form that `--json`, outputs and templates show."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence

from msgspec.structs import replace

from fuki_build.formats.documents import Document, View
from fuki_build.image.describe import StubView, stub_view
from fuki_build.image.layout import Layout
from fuki_build.image.profiles import profile_ids
from fuki_build.image.section import HAND_OVER
from fuki_build.measure import pcr1, pcr7, pcr11, rtmr
from fuki_build.measure.boot import Boot
from fuki_build.measure.events import Event, in_hex
from fuki_build.measure.predict import Prediction, before_stub
from fuki_build.measure.rtmr import Rtmr

_EventFacts = tuple[int | str | tuple[str, bytes], ...]


class EventView(View, frozen=True, kw_only=True):
    """One measurement: digests by bank in hex; empty where `unknown` says why they cannot be predicted."""

    pcr: int
    type: str
    what: str
    source: str
    by: str
    digests: Mapping[str, str]
    unknown: str


class RegisterView(View, frozen=True):
    """A register's values by bank, in hex; for PCR 11 after a phase path, which is null before the first phase.

    `values` is empty where `unknown` says why they cannot be predicted.
    """

    pcr: int
    phase: str | None
    values: Mapping[str, str]
    unknown: str


class RtmrView(View, frozen=True):
    """A runtime measurement register of a TDX guest, with SHA-384 in hex, and the events that extend it.

    `value` is null where `unknown` says why it cannot be predicted.
    """

    name: str
    value: str | None
    unknown: str
    events: Sequence[EventView]


class CaseView(View, frozen=True, kw_only=True):
    """A profile on machines that select the same; `machines` is empty if the case stands for all such machines.

    They select firmware by its `fwid` and a devicetree by its `compatible` string, null where they select none.
    `rtmrs` is empty where they were not asked for. `first_start` are the registers when a hand-over resets the machine,
    but for register 7, which is of the host's variables; it is empty where the image hands nothing over. All else is of
    the second start then.
    """

    profile: int | None
    profile_id: str | None
    fwid: str | None
    compatible: str | None
    machines: Sequence[str]
    registers: Sequence[RegisterView]
    events: Sequence[EventView]
    rtmrs: Sequence[RtmrView]
    first_start: Sequence[RegisterView] = ()


class BootView(View, frozen=True, kw_only=True):
    """The assumed start of the image; `variables` are the SHA-256 of those that PCR 7 is predicted from.

    `partitions` is the SHA-384 of the disk's partition table, as it is measured.
    """

    method: str
    options: str | None
    smbios_options: str | None
    console: str | None
    secure_boot: bool
    variables: Mapping[str, str]
    partitions: str | None
    shim: bool
    boot_secret: bool
    loaders: Sequence[str]
    global_addons: Sequence[str]
    addons: Sequence[str]


class PredictionsView(Document, frozen=True, kw_only=True):
    image: str
    stub: StubView | None
    banks: Sequence[str]
    phases: Sequence[str]
    boot: BootView
    predictions: Sequence[CaseView]


def predictions_view(
    layout: Layout,
    predictions: Sequence[Prediction],
    phases: Sequence[Sequence[str]],
    boot: Boot,
    registers: Sequence[int] = (),
    *,
    rtmrs: bool = False,
) -> PredictionsView:
    """All predictions, for these registers or for all; `phases` are the words of phase paths.

    `rtmrs` adds those registers: the predictions must have their bank.
    """
    names = profile_ids(layout)
    has_program = bool(layout.find(HAND_OVER))

    # Cases share most of their events, so each is described once.
    events = {_facts(event): event for prediction in predictions for event in prediction.events}
    views = {facts: event_view(event) for facts, event in events.items()}

    banks = predictions[0].banks if predictions else ()
    described = [
        _case(
            prediction,
            names,
            views,
            phases,
            registers,
            rtmr.rtmrs(prediction, boot, layout) if rtmrs else (),
            has_program=has_program,
        )
        for prediction in predictions
    ]
    if boot.firmware and (not registers or pcr1.PCR in registers):
        described = [_with_settings(case, banks) for case in described]

    return PredictionsView(
        image=layout.name,
        stub=stub_view(layout),
        banks=banks,
        phases=[":".join(words) for words in phases],
        boot=boot_view(boot),
        predictions=described,
    )


def _case(
    prediction: Prediction,
    names: Mapping[int, str | None],
    views: Mapping[_EventFacts, EventView],
    phases: Sequence[Sequence[str]],
    registers: Sequence[int],
    rtmrs: Sequence[Rtmr],
    *,
    has_program: bool,
) -> CaseView:
    case = prediction.case
    shown = [pcr for pcr in prediction.registers if not registers or pcr in registers]

    return CaseView(
        profile=case.profile,
        profile_id=None if case.profile is None else names.get(case.profile),
        fwid=case.firmware,
        compatible=case.devicetree,
        machines=case.machines,
        registers=[view for pcr in shown for view in _registers(prediction, pcr, phases)],
        events=[views[_facts(event)] for event in prediction.events if event.pcr in shown],
        rtmrs=[_rtmr(register) for register in rtmrs],
        first_start=tuple(_first_start(prediction, registers)) if has_program else (),
    )


def _with_settings(case: CaseView, banks: Sequence[str]) -> CaseView:
    """The case with the register of the firmware's settings, which is not told, and its events."""
    register = RegisterView(pcr1.PCR, None, {}, pcr1.unknown())
    events = (event_view(event) for event in pcr1.settings_events(banks))
    return replace(
        case,
        registers=sorted((*case.registers, register), key=lambda view: view.pcr),
        events=(*case.events, *events),
    )


def _first_start(prediction: Prediction, registers: Sequence[int]) -> Iterator[RegisterView]:
    """What the host's firmware leaves where the image's program hands the selected firmware over."""
    if prediction.case.firmware is None:
        return
    start = before_stub(prediction)
    for pcr in start.registers:
        if pcr != pcr7.PCR and (not registers or pcr in registers):
            yield from _registers(start, pcr, ())


def _rtmr(register: Rtmr) -> RtmrView:
    value = register.value
    events = [event_view(event) for event in register.events]
    return RtmrView(register.name, None if value is None else value.hex(), register.unknown, events)


def _registers(prediction: Prediction, pcr: int, phases: Sequence[Sequence[str]]) -> Iterator[RegisterView]:
    paths = ((), *phases) if pcr == pcr11.PCR else ((),)
    unknown = prediction.unknown(pcr)
    for words in paths:
        values = {bank: prediction.value(pcr, bank, words) for bank in prediction.banks}
        known = {bank: value.hex() for bank, value in values.items() if value is not None}
        yield RegisterView(pcr, ":".join(words) or None, known, unknown)


def _facts(event: Event) -> _EventFacts:
    """All of an event, as a key: equal events look the same."""
    words = (event.type, event.what, event.source, event.by.value, event.unknown)
    return event.pcr, *words, *event.digests.items()


def event_view(event: Event) -> EventView:
    return EventView(
        pcr=event.pcr,
        type=event.type,
        what=event.what,
        source=event.source,
        by=event.by.value,
        digests=in_hex(event.digests),
        unknown=event.unknown,
    )


def boot_view(boot: Boot) -> BootView:
    return BootView(
        method=boot.method.value,
        options=boot.options,
        smbios_options=boot.smbios,
        console=boot.console,
        secure_boot=boot.secure_boot,
        variables=_digests(boot.policy.variables if boot.policy else {}),
        partitions=hashlib.sha384(boot.partitions).hexdigest() if boot.partitions else None,
        shim=boot.shim,
        boot_secret=boot.secret,
        loaders=[loader.name for loader in boot.loaders],
        global_addons=[addon.name for addon in boot.global_addons],
        addons=[addon.name for addon in boot.addons],
    )


def _digests(variables: Mapping[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(value).hexdigest() for name, value in variables.items()}
