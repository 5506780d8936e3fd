"""A verification as a document, as lines of text, and as an exit code."""

from collections.abc import Sequence

from fuki_build.errors import MismatchError
from fuki_build.hooks import Document

from fuki_attest.image.shown import ShownView
from fuki_attest.show import say
from fuki_attest.verify.steps import EvidenceStep, StepVerdict, unanswered


class VerdictDocument(Document, frozen=True, kw_only=True):
    """What `fuki attest verify --json` prints: each step, at which time, and whether all that was asked for holds.

    `shows` tells which machine the evidence shows; it is empty without `--image`.
    """

    at: str
    holds: bool
    steps: tuple[EvidenceStep, ...]
    shows: tuple[ShownView, ...] = ()


def print_steps(steps: Sequence[EvidenceStep]) -> None:
    """A paragraph for each subject, a line for each step."""
    subject = None
    width = max((len(f"{step.claim} against {step.against}") for step in steps), default=0)
    for step in steps:
        if step.subject != subject:
            subject = step.subject
            say(subject)
        detail = f" ({step.detail})" if step.detail else ""
        say(f"  {step.verdict.value:13} {f'{step.claim} against {step.against}':{width if detail else 0}}{detail}")


def print_shown(shown: Sequence[ShownView]) -> None:
    """A line for each piece of evidence that tells which machine it is of."""
    for view in shown:
        say(f"{view.subject} shows: {view.text}")


def judge(steps: Sequence[EvidenceStep]) -> None:
    """Raise `MismatchError` unless all that was asked for holds."""
    open_steps = unanswered(steps)
    if not open_steps:
        return
    failed = sum(step.verdict is StepVerdict.FAILS for step in open_steps)
    missing = len(open_steps) - failed
    parts = [f"{failed} of {len(steps)} steps do not hold"] if failed else []
    parts += [f"{missing} could not be verified"] if missing else []
    first = open_steps[0]
    raise MismatchError(", ".join(parts), where=first.subject, hint=f"the first is: {first.claim}: {first.detail}")
