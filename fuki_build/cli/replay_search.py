"""`fuki replay --expect`: why a register has another value than the log gives."""

from collections.abc import Iterator, Sequence

from fuki_build.formats.tcg.event_log import EventLog
from fuki_build.measure.log_search import LOG, search_log
from fuki_build.measure.log_views import ExpectedView, register_name
from fuki_build.measure.register_search import RegisterMatch
from fuki_build.measure.register_sources import SEARCHED, StartedImage, register_sources

_BANK = "sha256"


def why_others(log: EventLog, results: Sequence[ExpectedView], image: StartedImage | None) -> Iterator[tuple[int, str]]:
    """For each register that does not hold, by the log's numbers, what gives the value that was expected.

    One bank is looked at: the same events stand in all of them.
    """
    wrong: dict[int, ExpectedView] = {}
    for result in results:
        if not result.holds and (result.register not in wrong or result.bank == _BANK):
            wrong[result.register] = result

    for register, result in wrong.items():
        name = register_name(log.kind, register)
        others = register_sources(name, result.bank, image) if image is not None and name in SEARCHED else []
        search = search_log(log, result.bank, register, bytes.fromhex(result.expected), others)
        for match in search.matches:
            yield register, f"the expected value ({result.bank}) is that of {_words(match)}"
        if not search.matches:
            subjects = LOG if image is None else f"{LOG} and the image"
            changes = "with one left out or added, or up to three exchanged"
            yield register, f"the expected value ({result.bank}) is not that of {subjects}, nor {changes}"


def _words(match: RegisterMatch) -> str:
    phase = f", after {':'.join(match.phase)}" if match.phase else ""
    return f"{', '.join((match.label, *match.changes))}{phase}"
