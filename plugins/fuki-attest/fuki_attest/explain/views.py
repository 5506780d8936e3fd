"""Explained evidence as a document, as lines of text, and as an exit code."""

from collections.abc import Iterator

from fuki_build import LaunchSearchView, RegisterSearchView, register_in_words, search_in_words
from fuki_build.errors import MismatchError
from fuki_build.hooks import Document, View

from fuki_attest.show import say


class ExplainedLaunchView(View, frozen=True):
    """A launch digest of a report or quote, and the launches that have it."""

    subject: str
    search: LaunchSearchView


class ExplainedRegisterView(View, frozen=True):
    """A register of a quote or list, and the measurements that give it: those of `log`, or of the images."""

    subject: str
    search: RegisterSearchView
    log: str | None = None


class LogReasonView(View, frozen=True):
    """Something of a log that is not as the image measures it, in the register of that name."""

    name: str
    text: str


class ExplainedLogView(View, frozen=True):
    """An event log, the image that explains most of it, and what that does not explain."""

    subject: str
    image: str
    reasons: tuple[LogReasonView, ...]


class ExplainDocument(Document, frozen=True):
    """What `fuki attest explain --json` prints: what all launch digests, registers and logs were made of."""

    launches: tuple[ExplainedLaunchView, ...]
    registers: tuple[ExplainedRegisterView, ...]
    logs: tuple[ExplainedLogView, ...]
    notes: tuple[str, ...]


def print_explained(document: ExplainDocument) -> None:
    """A paragraph for each piece of evidence."""
    subject = None
    for name, line in _lines(document):
        if name != subject:
            say(name)
            subject = name
        say(f"  {line}")
    for note in document.notes:
        say(note)


def _lines(document: ExplainDocument) -> Iterator[tuple[str, str]]:
    for log in document.logs:
        if not log.reasons:
            yield log.subject, f"{log.image} explains all that is the image's"
        yield from ((log.subject, f"{reason.name}: {reason.text}") for reason in log.reasons)
    for launch in document.launches:
        yield from ((launch.subject, line) for line in search_in_words(launch.search))
    by_log = {(one.subject, one.search.name) for one in document.registers if one.log}
    for register in document.registers:
        told = bool(register.log) or (register.subject, register.search.name) in by_log
        source = f"by {register.log}: " if register.log else ""
        yield from ((register.subject, source + line) for line in register_in_words(register.search, has_log=told))


def judge(document: ExplainDocument) -> None:
    """Raise `MismatchError` unless everything is as some image, launched and started as asked for, measures it."""
    open_ends = [f"{one.subject}: the launch digest" for one in document.launches if not one.search.found]
    open_ends += [
        f"{one.subject}: {one.search.name}"
        for one in document.registers
        if one.log is None and not any(not match.changes for match in one.search.matches)
    ]
    open_ends += [f"{one.subject}: the log" for one in document.logs if one.reasons]
    total = len(document.launches) + sum(one.log is None for one in document.registers) + len(document.logs)
    if not total:
        raise MismatchError("nothing that was measured is in the evidence, or nothing that it could be of was named")
    if open_ends:
        raise MismatchError(f"{len(open_ends)} of {total} are not as an image measures it: {'; '.join(open_ends)}")
