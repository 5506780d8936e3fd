"""A TPM's registers, and a guest's log, against what an image measures."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from fuki_build import Machine, Prediction, boots_of_image, explained_log
from fuki_build.formats.hashes import SIZES
from fuki_build.formats.tcg.event_log import EventLog

from fuki_attest.formats.tpm_quote import TpmQuote, digest_of
from fuki_attest.image.shown import ShownView
from fuki_attest.verify.replay import Values, replay, with_untouched
from fuki_attest.verify.steps import About, StepKind, Steps
from fuki_attest.verify.tpm import TpmContext

PHASES: Sequence[tuple[str, ...]] = tuple(
    ("enter-initrd", "leave-initrd", "sysinit", "ready")[:count] for count in range(5)
)
"""The paths of boot phases that systemd's services measure (systemd-pcrphase.service(8)); the empty one comes first."""
_PHASES_PCR = 11
REGISTERS = (4, 9, 11, 12)
"""Registers that an image and how it was started explain."""


def quoted_values(quote: TpmQuote, context: TpmContext) -> Values | None:
    """The registers that a quote vouches for: those of a list or a log which have the quote's digest."""
    sources = [values for _, values in context.registers]
    sources += [with_untouched(replay(log), quote) for _, log in context.logs]
    for algorithm in ("sha256", "sha384", "sha512", "sha1"):
        for values in sources:
            if SIZES[algorithm] == len(quote.digest) and digest_of(quote, values, algorithm) == quote.digest:
                return values
    return None


def tpm_steps(
    about: About,
    quote: TpmQuote,
    context: TpmContext,
    image: Path,
    machines: Sequence[Machine] | None,
    shown: list[ShownView],
) -> Steps:
    """The registers of the image that the quote is over, in the case that fits best."""
    against = f"the predictions for {image.name}"
    values = quoted_values(quote, context)
    if values is None:
        why = "no values and no log have the quote's digest"
        yield about.not_verified(StepKind.BOOT, "registers of the image", against, why, asked=True)
        return

    selected = {(bank, number) for bank, numbers in quote.selection for number in numbers if number in REGISTERS}
    banks = [bank for bank in SIZES if any(bank == one for one, _ in selected)]
    if not banks:
        why = "the quote is over none of PCR 4, 9, 11 and 12"
        yield about.not_verified(StepKind.BOOT, "registers of the image", against, why, asked=True)
        return

    bank = banks[-1] if "sha256" not in banks else "sha256"
    quoted = {number: values[bank, number] for one, number in sorted(selected) if one == bank}
    prediction, phase = _fitting(boots_of_image(image, [bank], machines), bank, quoted)
    yield from _register_steps(about, prediction, bank, quoted, phase, against)

    case = prediction.case
    fits = phase is not None or _PHASES_PCR not in quoted
    shown.append(
        ShownView(
            subject=about.subject,
            kind="machine with a TPM",
            firmware=case.firmware if fits else None,
            profile=case.profile if fits else None,
            profile_known=fits,
            phase=None if phase is None else ":".join(phase),
        )
    )


def _fitting(
    predictions: Sequence[Prediction], bank: str, quoted: Mapping[int, bytes]
) -> tuple[Prediction, tuple[str, ...] | None]:
    """The case with most registers in common, PCR 11 before all, and its phase."""
    scored = [
        (phase is not None, sum(prediction.value(number, bank) == value for number, value in quoted.items()), index)
        for index, prediction in enumerate(predictions)
        for phase in [_phase(prediction, bank, quoted)]
    ]
    best = predictions[max(scored, key=lambda score: (score[0], score[1], -score[2]))[2]]
    return best, _phase(best, bank, quoted)


def _phase(prediction: Prediction, bank: str, quoted: Mapping[int, bytes]) -> tuple[str, ...] | None:
    value = quoted.get(_PHASES_PCR)
    return next((path for path in PHASES if value == prediction.value(_PHASES_PCR, bank, path)), None)


def _register_steps(
    about: About,
    prediction: Prediction,
    bank: str,
    quoted: Mapping[int, bytes],
    phase: tuple[str, ...] | None,
    against: str,
) -> Steps:
    for number in REGISTERS:
        claim = f"PCR {number} ({bank})"
        if number not in quoted:
            yield about.not_verified(
                StepKind.BOOT, claim, against, "the quote is not over it", asked=number == _PHASES_PCR
            )
            continue
        value = prediction.value(number, bank)
        if value is None:
            yield about.not_verified(StepKind.BOOT, claim, against, prediction.unknown(number), asked=False)
            continue
        holds = phase is not None if number == _PHASES_PCR else value == quoted[number]
        yield about.step(
            StepKind.BOOT, claim, against, holds, f"it is {quoted[number].hex()}, predicted is {value.hex()}"
        )


def log_steps(about: About, log: EventLog, image: Path, machines: Sequence[Machine] | None) -> Steps:
    """Whether the image explains what the log has in the image's registers."""
    explanation = explained_log(log, image, machines)
    unexpected = [item for item in explanation.events if item.verdict == "unexpected"]
    missing = [event.what for event in explanation.missing]
    parts = [f"not predicted: {'; '.join(item.what for item in unexpected[:3])}"] if unexpected else []
    parts += [f"did not come: {'; '.join(missing[:3])}"] if missing else []
    yield about.step(
        StepKind.BOOT,
        "events in the image's registers",
        f"the predictions for {image.name}",
        explanation.complete,
        ", ".join(parts),
    )
