"""`fuki replay --expect`: why a register has another value than the log gives."""

from collections.abc import Iterator, Sequence

from fuki_build.formats.tcg.event_log import EventLog
from fuki_build.measure.log_search import LOG, search_log
from fuki_build.measure.log_views import ExpectedView, register_name
from fuki_build.measure.register_search import RegisterMatch
from fuki_build.measure.register_sources import VARIED, StartedImage, register_sources


def why_others(log: EventLog, results: Sequence[ExpectedView], image: StartedImage | None) -> Iterator[tuple[int, str]]:
    """For each register that does not hold, by the log's numbers, what gives the value that was expected."""
    for result in results:
        if result.holds:
            continue
        name = register_name(log.kind, result.register)
        others = register_sources(name, result.bank, image) if image is not None and name in VARIED else []
        search = search_log(log, result.bank, result.register, bytes.fromhex(result.expected), others)
        for match in search.matches:
            yield result.register, f"{result.expected} ({result.bank}) is the value of {_words(match)}"
        if not search.matches:
            subjects = LOG if image is None else f"{LOG} and the image"
            changes = "with one left out or added, or up to three exchanged"
            text = f"no events of {subjects} give {result.expected} ({result.bank}), nor do they {changes}"
            yield result.register, text


def _words(match: RegisterMatch) -> str:
    phase = f", after {':'.join(match.phase)}" if match.phase else ""
    return f"{', '.join((match.label, *match.changes))}{phase}"
