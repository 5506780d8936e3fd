"""Registers as an event log gives them."""

from collections.abc import Iterator, Mapping

from fuki_build.formats.hashes import SIZES, new_hash
from fuki_build.formats.tcg.event_log import EventLog, LogKind

from fuki_attest.formats.td_report import TdBody
from fuki_attest.formats.tpm_quote import TpmQuote
from fuki_attest.pieces import Item
from fuki_attest.verify.steps import About, StepKind, Steps

_DYNAMIC = range(17, 23)
"""Registers of dynamic roots of trust, which start with ones (TCG, "PC Client Platform TPM Profile", 4.6.3)."""
Values = Mapping[tuple[str, int], bytes]


def replay(log: EventLog) -> dict[tuple[str, int], bytes]:
    """The registers that the log's events extend, by bank and number, in the banks that can be computed."""
    values: dict[tuple[str, int], bytes] = {}
    for bank in log.banks:
        if bank not in SIZES:
            continue
        for event in log.events:
            if event.extends and bank in event.digests:
                before = values.get((bank, event.register), _start(log, bank, event.register))
                values[bank, event.register] = new_hash(bank, before + event.digests[bank]).digest()
    return values


def _start(log: EventLog, bank: str, register: int) -> bytes:
    if log.kind is LogKind.TPM and register == 0:
        return bytes(SIZES[bank] - 1) + bytes([log.locality])
    return (b"\xff" if log.kind is LogKind.TPM and register in _DYNAMIC else b"\0") * SIZES[bank]


def rtmr_steps(item: Item, bodies: Mapping[str, TdBody]) -> Steps:
    """A confidential guest's log against the RTMRs of quotes, by name; the events prove nothing without."""
    log: EventLog = item.value
    about = About(item.name)
    if not bodies:
        yield about.not_verified(StepKind.BINDING, "events", "the RTMRs of a quote", "no quote was given", asked=True)

    values = replay(log)
    for name, body in bodies.items():
        for number, value in enumerate(body.rtmrs):
            own = values.get(("sha384", number + 1), bytes(48))
            yield about.step(
                StepKind.BINDING,
                f"RTMR{number} of the log",
                name,
                own == value,
                f"the log gives {own.hex()}, the quote {value.hex()}",
            )

    if log.flaw:
        yield about.step(
            StepKind.BINDING,
            "log",
            "its format",
            holds=False,
            detail=f"it is damaged behind byte {log.end}: {log.flaw}",
        )


def selected(quote: TpmQuote) -> Iterator[tuple[str, int]]:
    """The registers of a quote, in the order of its digest."""
    for bank, registers in quote.selection:
        for register in registers:
            yield bank, register


def with_untouched(values: Values, quote: TpmQuote) -> dict[tuple[str, int], bytes]:
    """The values, and those of registers of the quote that nothing extended: zeros, or ones."""
    start = {
        (bank, register): (b"\xff" if register in _DYNAMIC else b"\0") * SIZES[bank]
        for bank, register in selected(quote)
        if bank in SIZES
    }
    return {**start, **values}
