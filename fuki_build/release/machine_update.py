"""What one machine measures after an update, from the event log of its boot before it."""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from fuki_build.errors import FukiError, MismatchError
from fuki_build.formats.tcg import event_data
from fuki_build.formats.tcg.event_log import EventLog, LoggedEvent
from fuki_build.hardware.machine import Machine
from fuki_build.image.layout import Layout
from fuki_build.image.profiles import find_profiles, successors
from fuki_build.image.section import STUB_MEASURED
from fuki_build.measure import pcr4, pcr9, pcr12
from fuki_build.measure.boot import Boot
from fuki_build.measure.events import Event, Measurer
from fuki_build.measure.explain import Explanation, explain, predict_logged
from fuki_build.measure.log_comparison import IMAGE_REGISTERS, Explained, RegisterVerdict, number_in_log
from fuki_build.measure.log_views import register_name
from fuki_build.measure.logged_boot import with_logged
from fuki_build.measure.predict import Case, Prediction, cases
from fuki_build.measure.reasons import reasons
from fuki_build.measure.section_digests import SectionDigests
from fuki_build.measure.updated_log import UpdatedLog, of_old_image, start_of_image, updated
from fuki_build.signing.secure_boot.boot import with_authorities

_SMBIOS = Event(
    pcr=1,
    type="EV_EVENT_TAG",
    what="SMBIOS structures of types 1, 2 and 11",
    source="the machine",
    by=Measurer.STUB,
    unknown="the new stub measures SMBIOS structures, and the log does not have them",
)


class MachineUpdate(Struct, frozen=True, kw_only=True):
    """A machine's log after an update; `prediction` is of the new image, in the way in which the machine boots it."""

    log: UpdatedLog
    prediction: Prediction
    boot: Boot


def update_with_old(
    log: EventLog, old: SectionDigests, new: SectionDigests, machines: Sequence[Machine] | None, boot: Boot
) -> MachineUpdate:
    """The update of a machine that boots `old`: from its log it is found out how, and that nothing else is measured.

    It boots the profile of the new image that succeeds the one that it boots, and selects what `machines` select; with
    None, firmware and devicetree of the names that it selects now. Raises `MismatchError` where the old image does not
    explain what was measured since it started, `FukiError` where it is not clear what the machine will select.
    """
    known = with_logged(boot, log)
    old_cases = cases(old.layout, machines, find_profiles(old.layout, None))
    explanation = explain(log, old, old_cases, with_authorities(known, old))
    start = start_of_image(explanation, by_prediction=True)
    if start is None or explanation.prediction is None or explanation.boot is None:
        raise MismatchError(f"the log is not of a boot of {old.layout.where}", hint="which image did the machine boot?")

    _refuse_unexplained(log, explanation, start, old)
    case = _succeeding(old.layout, new.layout, explanation.prediction.case, machines)
    places = of_old_image(log, explanation, start, by_prediction=True)
    how = _shown_by_old(log, old, explanation.prediction, explanation.boot, boot)
    return _update(log, places, start, new, case, how)


def update_without_old(
    log: EventLog, new: SectionDigests, profile: str | None, machines: Sequence[Machine] | None, boot: Boot
) -> MachineUpdate:
    """The update of a machine whose old image is not there: all that stub and kernel measured is taken to be its.

    Raises `MismatchError` where the log has options or programs beside the image that are not known, `FukiError` where
    it is not clear what the machine will select.
    """
    known = with_logged(boot, log)
    candidates = _candidates(log, new, profile, machines)
    explanation = explain(log, new, candidates, with_authorities(known, new))
    start = start_of_image(explanation, by_prediction=False)
    if start is None or explanation.prediction is None or explanation.boot is None:
        raise MismatchError(
            "the log does not show that a UKI was started",
            hint="register 11 has no event of a systemd-stub: is this the log of a boot with one?",
        )

    for item in explanation.events[start + 1 :]:
        _refuse_foreign(item, log)
    places = of_old_image(log, explanation, start, by_prediction=False)
    how = _shown_by_new(explanation, explanation.boot, boot)
    return _update(log, places, start, new, explanation.prediction.case, how)


def _shown_by_old(log: EventLog, old: SectionDigests, prediction: Prediction, fitting: Boot, given: Boot) -> Boot:
    """The boot that fits, with console and secret as given where they change nothing that the old image measures."""

    def matters(boot: Boot) -> bool:
        return predict_logged(log, old, [prediction.case], boot) != (prediction,)

    return replace(
        fitting,
        console=fitting.console if matters(replace(fitting, console="console=other")) else given.console,
        secret=fitting.secret if matters(replace(fitting, secret=not fitting.secret)) else given.secret,
    )


def _shown_by_new(explanation: Explanation, fitting: Boot, given: Boot) -> Boot:
    """The boot that fits, with console and secret as given where the log has other options, or another initrd."""
    predicted = [item.predicted for item in explanation.events if item.predicted and not item.predicted.unknown]
    has_options = any(event.source == pcr9.OPTIONS for event in predicted)
    has_initrd = any(event.pcr == pcr9.PCR and event.source != pcr9.OPTIONS for event in predicted)
    return replace(
        fitting,
        console=fitting.console if has_options else given.console,
        secret=fitting.secret if has_initrd else given.secret,
    )


def _update(
    log: EventLog, places: frozenset[int], start: int, new: SectionDigests, case: Case, boot: Boot
) -> MachineUpdate:
    (prediction,) = predict_logged(log, new, [case], with_authorities(boot, new))

    measured = [at for at, event in enumerate(log.events) if _is_smbios(event)]
    if not new.layout.model.measures_smbios:
        # A boot menu that measured them before the image started goes on doing so.
        places |= {at for at in measured if at > start}
    elif not measured:
        prediction = replace(prediction, events=(*prediction.events, _SMBIOS))

    return MachineUpdate(log=updated(log, places, start, prediction), prediction=prediction, boot=boot)


def _is_smbios(event: LoggedEvent) -> bool:
    return event.type_name == "EV_EVENT_TAG" and "SMBIOS" in event_data.describe(event)


def _refuse_unexplained(log: EventLog, explanation: Explanation, start: int, old: SectionDigests) -> None:
    """What stub, kernel and firmware measured since the old image started must be the image's: else more is unknown."""
    foreign = [item.event for item in explanation.events[start:] if item.verdict is RegisterVerdict.UNEXPECTED]
    if not foreign and not explanation.missing:
        return

    told = [(register, text) for register, text in reasons(explanation, old, log.kind) if _is_own(register, log)]
    register, text = told[0] if told else (number_in_log(pcr4.PCR, log.kind), "other programs were started")
    raise MismatchError(
        f"{old.layout.where} does not explain {register_name(log.kind, register)}: {text}",
        hint="give the image that was booted, and its addons and options; fuki replay --image tells all",
    )


def _is_own(register: int, log: EventLog) -> bool:
    return register in {number_in_log(pcr, log.kind) for pcr in IMAGE_REGISTERS}


def _refuse_foreign(item: Explained, log: EventLog) -> None:
    """Without the old image, a program from a file and options that are not known may stay, or be the old image's."""
    if item.verdict is not RegisterVerdict.UNEXPECTED:
        return

    words = event_data.describe(item.event)
    if item.event.type_name == pcr4.APPLICATION and words.lower().endswith(".efi"):
        raise MismatchError(
            f"{words} was started by the image", hint="give it with --addon, or the old image with --old"
        )
    may_be_options = item.event.type_name == "EV_IPL" and words not in STUB_MEASURED
    if may_be_options and item.event.register == number_in_log(pcr12.PCR, log.kind):
        raise MismatchError(
            f"it is not known where the options {words!r} come from",
            hint="give --options, --smbios-options or --addon, or the old image with --old",
        )


def _succeeding(old: Layout, new: Layout, case: Case, machines: Sequence[Machine] | None) -> Case:
    """What the machine boots of the new image: what has the names that it selects now."""
    following = successors(old, new)
    if case.profile not in following:
        raise FukiError(f"{new.where} has no profile that succeeds profile {case.profile} of {old.where}")

    possible = cases(new, machines, [following[case.profile]])
    if machines is None and case.firmware is not None:
        possible = tuple(one for one in possible if one.firmware == case.firmware)
    if machines is None and case.devicetree is not None:
        possible = tuple(one for one in possible if one.devicetree == case.devicetree)
    return _only(possible, new)


def _candidates(
    log: EventLog, new: SectionDigests, profile: str | None, machines: Sequence[Machine] | None
) -> Sequence[Case]:
    """What machines may boot of the image: one that measured firmware or a devicetree selects some again, if it can.

    Raises `FukiError` where that leaves a choice.
    """
    profiles = find_profiles(new.layout, profile)
    possible = cases(new.layout, machines, profiles)

    if machines is None:
        measured = {event_data.text(event.data) for event in log.events if event.type_name == "EV_IPL"}
        if ".efifw" in measured:
            possible = tuple(case for case in possible if case.firmware is not None) or possible
        if ".dtbauto" in measured:
            possible = tuple(case for case in possible if case.devicetree is not None) or possible

    for number in profiles:
        _only([case for case in possible if case.profile == number], new.layout)
    return possible


def _only(possible: Sequence[Case], image: Layout) -> Case:
    if len(possible) != 1:
        names = sorted({case.firmware or "no firmware" for case in possible}) or ["none with the name of the old one"]
        raise FukiError(
            f"it is not clear which firmware or devicetree the machine selects: {', '.join(names)}",
            where=image.where,
            hint="name the machine with --machine or --platform",
        )
    return possible[0]
