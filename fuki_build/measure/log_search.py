"""Why a register has another value than its event log: which event was left out, added or exchanged."""

from collections.abc import Sequence

from fuki_build.formats.hashes import new_hash
from fuki_build.formats.tcg import event_data
from fuki_build.formats.tcg.event_log import EventLog, LoggedEvent, LogKind
from fuki_build.image.section import STUB_MEASURED
from fuki_build.measure.events import Event, Measurer
from fuki_build.measure.explain import start_of
from fuki_build.measure.pcr11 import PCR as PHASES_PCR
from fuki_build.measure.register_search import RegisterSearch, RegisterSearcher, RegisterSource, units_of

LOG = "the log"


def search_log(
    log: EventLog, bank: str, register: int, value: bytes, others: Sequence[RegisterSource] = ()
) -> RegisterSearch:
    """How the register comes to its value: by the log's events with changes, or by `others`, what an image measures.

    Events are named by the log, whose descriptions are no evidence.
    """
    extending = [event for event in log.events if event.extends and bank in event.digests]
    own = units_of((_event(event, bank) for event in extending if event.register == register), bank)
    searcher = RegisterSearcher(
        bank,
        value,
        [RegisterSource(LOG, own), *others],
        phases=register == PHASES_PCR and log.kind is LogKind.TPM,
        start=start_of(log, register, len(value)),
    )
    return searcher.run()


def _event(event: LoggedEvent, bank: str) -> Event:
    """An event in the words of predictions, so that one stands for the other."""
    text = event_data.describe(event)
    is_section = event.type_name == "EV_IPL" and text in STUB_MEASURED
    if is_section:
        name = new_hash(bank, text.encode() + b"\0").digest()
        text = f"name of {text}" if event.digests[bank] == name else f"content of {text}"
    return Event(
        pcr=PHASES_PCR if is_section else event.register,
        type=event.type_name,
        what=text or event.type_name,
        source=LOG,
        by=Measurer.UNKNOWN,
        digests=event.digests,
    )
