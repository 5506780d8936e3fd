"""What an image may measure into a register: in each profile, with each firmware, started in each way."""

from collections.abc import Iterator, Sequence
from itertools import product

from msgspec import Struct
from msgspec.structs import replace

from fuki_build.image.profiles import profile_ids
from fuki_build.measure import pcr4, pcr9, pcr11, pcr12, rtmr
from fuki_build.measure.boot import Boot, BootMethod
from fuki_build.measure.events import Event
from fuki_build.measure.explain import CONSOLES
from fuki_build.measure.pcr7 import PolicyCandidate, authority_events, shim_events, variable_events
from fuki_build.measure.predict import Case, Prediction, predict
from fuki_build.measure.register_search import MAX_SOURCES, RegisterSource, Unit, units_of
from fuki_build.measure.section_digests import SectionDigests

_ADDONS, _TEXTS = ("addons", "global_addons"), ("options", "smbios")
_PROGRAMS = ("method", "loaders", *_ADDONS)
_COMMAND_LINE = (*_TEXTS, "console", *_ADDONS)
VARIED = {
    "PCR 4": _PROGRAMS,
    "PCR 9": ("secret", "method", *_COMMAND_LINE),
    "PCR 11": (),
    "PCR 12": (*_TEXTS, *_ADDONS),
    "RTMR1": _PROGRAMS,
    "RTMR2": ("secret", "method", *_COMMAND_LINE),
}
"""The registers that an image is searched for, and what of its start each depends on."""
SECURE_BOOT = "PCR 7"
"""Searched among the configurations of Secure Boot that are tried."""
SEARCHED = (*VARIED, SECURE_BOOT)
_SELECTED = ("PCR 11", "RTMR2")
"""Those that depend on what the machine selects."""
_MAX_DIFFERENCES = 2
_PCRS = {f"PCR {pcr}": pcr for pcr in (pcr4.PCR, pcr9.PCR, pcr11.PCR, pcr12.PCR)}


class StartedImage(Struct, frozen=True):
    """An image in the banks of its digests, the cases of it that may be, and what is known of its start.

    `policies` are configurations of Secure Boot that are tried for PCR 7.
    """

    contents: SectionDigests
    cases: Sequence[Case]
    boot: Boot
    policies: Sequence[PolicyCandidate] = ()


def register_sources(register: str, bank: str, image: StartedImage, texts: Sequence[str] = ()) -> list[RegisterSource]:
    """All that may be measured, the most usual first, up to `MAX_SOURCES`; without that which cannot be predicted.

    `texts` are command lines that a boot loader or hypervisor may have passed.
    """
    if register == SECURE_BOOT:
        return list(_policy_sources(bank, image))
    contents, boot = image.contents, image.boot
    names = profile_ids(contents.layout)
    cases = image.cases if register in _SELECTED else _one_each(image.cases)
    sources: dict[tuple[str, tuple[Unit, ...]], RegisterSource] = {}
    for variant in _starts(register, contents, boot, texts):
        for prediction in predict(contents, cases, variant) if len(sources) < MAX_SOURCES else ():
            events = _events(register, prediction, variant, contents)
            if not any(event.unknown for event in events):
                label = _label(contents, prediction.case, names.get(prediction.case.profile or 0), boot, variant)
                units = units_of(events, bank, f" of {contents.layout.name}")
                # What the stub might add is told only where it makes a difference.
                sources.setdefault((label, units), RegisterSource(label + _console(boot, variant), units))
    return list(sources.values())


def _policy_sources(bank: str, image: StartedImage) -> Iterator[RegisterSource]:
    for candidate in image.policies:
        policy, banks = candidate.policy, (bank,)
        firmware = (*variable_events(policy, banks), *authority_events(policy, banks).values())
        events = [*firmware, *shim_events(candidate, banks)]
        if not any(event.unknown for event in events):
            yield RegisterSource(f"{image.contents.layout.name}, {candidate.words}", units_of(events, bank))


def _one_each(cases: Sequence[Case]) -> list[Case]:
    """One case of each profile."""
    by_profile: dict[int | None, Case] = {}
    for case in cases:
        by_profile.setdefault(case.profile, case)
    return list(by_profile.values())


def unpredicted(register: str, image: StartedImage) -> str:
    """Why a register cannot be predicted for the start that is known; empty where it can."""
    if register == SECURE_BOOT and image.boot.policy is None:
        return "the machine's variables are not known: give them with --variables or --variable"
    reasons = {
        event.unknown: None
        for prediction in predict(image.contents, image.cases, image.boot)
        for event in _events(register, prediction, image.boot, image.contents)
        if event.unknown
    }
    return "; ".join(reasons)


def _events(register: str, prediction: Prediction, boot: Boot, contents: SectionDigests) -> Sequence[Event]:
    if register in _PCRS:
        return [event for event in prediction.events if event.pcr == _PCRS[register]]
    extended = rtmr.rtmrs(prediction, boot, contents.layout)
    return next((one.events for one in extended if one.name == register), ())


def _starts(register: str, contents: SectionDigests, boot: Boot, texts: Sequence[str]) -> Iterator[Boot]:
    """The start that is known, then those that differ in one or two things that the register depends on."""
    adds_console = contents.layout.model.adds_console and boot.console is None
    values: dict[str, Sequence[object]] = {
        "secret": (boot.secret, False),
        "method": tuple(BootMethod),
        "loaders": (boot.loaders, ()),
        "addons": (boot.addons, ()),
        "global_addons": (boot.global_addons, ()),
        "options": (boot.options, None, *texts),
        "smbios": (boot.smbios, None, *texts),
        "console": CONSOLES if adds_console else (boot.console,),
    }
    fields = VARIED[register]
    chosen = product(*(_distinct(values[field]) for field in fields))
    variants = [replace(boot, **dict(zip(fields, choice, strict=True))) for choice in chosen]
    counted = [(len(list(_differences(boot, variant))), variant) for variant in variants]
    for count, variant in sorted(counted, key=lambda pair: pair[0]):
        if count <= _MAX_DIFFERENCES:
            yield variant


def _distinct(values: Sequence[object]) -> list[object]:
    """Values that are not equal, in order; programs cannot be hashed."""
    distinct: list[object] = []
    distinct.extend(value for value in values if value not in distinct)
    return distinct


def _differences(boot: Boot, variant: Boot) -> Iterator[str]:
    """In what a start differs from the one that is known, in words; secret and console are nobody's choice."""
    if variant.method is not boot.method:
        yield "handed over by the hypervisor" if variant.method is BootMethod.DIRECT else "started from a disk"
    if variant.loaders != boot.loaders:
        yield f"without {', '.join(loader.name for loader in boot.loaders)} before it"
    for own, there in ((variant.addons, boot.addons), (variant.global_addons, boot.global_addons)):
        if own != there:
            yield f"without {', '.join(addon.name for addon in there)}"
    if variant.options != boot.options:
        yield f"with the options {variant.options!r} from the boot loader" if variant.options else "without options"
    if variant.smbios != boot.smbios:
        yield f"with the options {variant.smbios!r} from SMBIOS" if variant.smbios else "without options from SMBIOS"


def _label(contents: SectionDigests, case: Case, profile_id: str | None, boot: Boot, variant: Boot) -> str:
    parts = [contents.layout.name]
    if case.profile is not None:
        parts.append(f"profile {case.profile}{f' ({profile_id})' if profile_id else ''}")
    if case.firmware is not None:
        parts.append(f"firmware {case.firmware}")
    if case.devicetree is not None:
        parts.append(f"devicetree {case.devicetree}")
    return ", ".join([*parts, *_differences(boot, variant)])


def _console(boot: Boot, variant: Boot) -> str:
    is_added = variant.console and variant.console != boot.console
    return f", with {variant.console!r} added by the stub" if is_added else ""
