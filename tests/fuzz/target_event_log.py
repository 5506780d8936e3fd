from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from fuki_build.errors import FormatError
from fuki_build.formats.hashes import SIZES
from fuki_build.formats.tcg import event_data, event_log
from fuki_build.measure.explain import explain, registers
from fuki_build.measure.log_search import search_log

LOGS = Path(__file__).parents[1] / "data" / "event-logs"


def seeds() -> Iterator[bytes]:
    for path in sorted(LOGS.glob("*.log")):
        yield path.read_bytes()
        yield path.read_bytes()[:-100]
    yield (b"\4\0\0\0\4\0\0\0" + bytes(20) + b"\4\0\0\0" + bytes(4)) * 2


def run(data: bytes) -> None:
    with suppress(FormatError):
        log = event_log.decode(data)
        for event in log.events:
            event_data.describe(event)
            event_data.digest_is_of_data(event)
        for bank in set(log.banks) & set(SIZES):
            registers(log, bank)
        known = next((bank for bank in log.banks if bank in SIZES), None)
        if known is not None:
            assert not search_log(log, known, 11, b"\1" * SIZES[known]).matches
        assert len(explain(log).events) == len(log.events)
        # What stands before damage is whole on its own.
        assert log.end <= len(data)
        if log.flaw:
            assert event_log.decode(data[: log.end], log.kind).events == log.events
