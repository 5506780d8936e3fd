"""Explanations, in sentences, of values that differ from the predicted ones."""

from collections.abc import Iterator, Sequence

from fuki_build.formats.tcg import event_data
from fuki_build.formats.tcg.event_log import LoggedEvent, LogKind
from fuki_build.measure import pcr4, pcr7, pcr9, pcr11, pcr12
from fuki_build.measure.events import Event
from fuki_build.measure.explain import Explanation
from fuki_build.measure.log_comparison import RegisterVerdict, number_in_log
from fuki_build.measure.registers import Digests
from fuki_build.measure.section_digests import SectionDigests
from fuki_build.measure.secure_boot_reasons import is_replaced, variable_words

_VARIABLES = ("EV_EFI_VARIABLE_DRIVER_CONFIG", pcr7.AUTHORITY)


def reasons(explanation: Explanation, contents: SectionDigests, kind: LogKind) -> Iterator[tuple[int, str]]:
    """For each register, by the log's numbers, the differences from the image's prediction."""
    unexpected = [item.event for item in explanation.events if item.verdict is RegisterVerdict.UNEXPECTED]
    policy = explanation.boot.policy if explanation.boot else None

    for event in unexpected:
        if policy is not None and event.type_name in _VARIABLES:
            yield event.register, variable_words(event, policy)
            continue
        words = _WORDS.get(event.register, _other) if kind is LogKind.TPM else _other
        yield event.register, words(event, explanation.missing, contents)

    for missing in explanation.missing:
        if not _told(missing, unexpected):
            yield number_in_log(missing.pcr, kind), f"{missing.what} was not measured"


def _told(missing: Event, unexpected: Sequence[LoggedEvent]) -> bool:
    """Whether a missing event is already explained by an unexpected one in its place."""
    if missing.pcr == pcr7.PCR:
        return is_replaced(
            pcr7.AUTHORITY if missing.type == pcr7.AUTHORITY else missing.source.removeprefix("variable "), unexpected
        )
    replacements = [event for event in unexpected if event.register == missing.pcr and event.type_name == missing.type]

    if missing.pcr == pcr11.PCR:
        return any(missing.what == f"content of {_section(event)}" for event in replacements)
    return bool(replacements) and (missing.pcr == pcr9.PCR or missing.what == "the image")


def _program(event: LoggedEvent, missing: tuple[Event, ...], contents: SectionDigests) -> str:
    path = event_data.describe(event)
    if _is(event, contents.image_digests()):
        return "the image itself was started once more"
    if any(_is(event, contents.kernel_digests(s) or {}) for s in contents.layout.plain_sections if s.name == ".linux"):
        return "firmware loaded the kernel in .linux: through a shim, or the stub is older than it says"
    if any(e.pcr == pcr4.PCR and e.what == "the image" for e in missing):
        return f"{path} was started, and it is not this image: another program, or another build of the image"
    return f"{path} was started, which is not known: name it with --loader or --addon if it belongs there"


def _section(event: LoggedEvent) -> str:
    return event_data.text(event.data)


def _content(event: LoggedEvent, missing: tuple[Event, ...], _: SectionDigests) -> str:
    name = _section(event)
    if any(e.what == f"content of {name}" for e in missing):
        return f"{name} has other content than in the image, or another one was selected"
    return f"{name} was measured, which the image does not have or the stub does not select"


def _parameter(event: LoggedEvent, _: tuple[Event, ...], __: SectionDigests) -> str:
    words = event_data.describe(event)
    if event.type_name == "EV_IPL":
        return f"options were added: {words} (name them with --options, --smbios-options or --addon)"
    return f"{words} was measured: name the addon or credential that it belongs to"


def _kernel(event: LoggedEvent, missing: tuple[Event, ...], _: SectionDigests) -> str:
    tag = event_data.describe(event)
    if "initrd" in tag:
        return "the kernel got another initrd: credentials, extensions or an addon were joined to it"
    if "load options" in tag and any(e.pcr == pcr9.PCR for e in missing):
        return "the kernel got another command line than predicted"
    return f"{tag} was measured by something unknown"


def _other(event: LoggedEvent, _: tuple[Event, ...], __: SectionDigests) -> str:
    return f"{event_data.describe(event)} is not expected"


_WORDS = {pcr4.PCR: _program, pcr9.PCR: _kernel, pcr11.PCR: _content, pcr12.PCR: _parameter}


def _is(event: LoggedEvent, digests: Digests) -> bool:
    shared = set(event.digests) & set(digests)
    return bool(shared) and all(event.digests[bank] == digests[bank] for bank in shared)
