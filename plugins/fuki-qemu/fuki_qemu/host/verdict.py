"""Each start of a guest held against what was expected of it."""

from collections.abc import Iterator
from itertools import zip_longest
from typing import TYPE_CHECKING

from msgspec import Struct

from fuki_qemu.host import plan
from fuki_qemu.host.cycle import Start
from fuki_qemu.host.plan import ExpectedStart
from fuki_qemu.verdict import BootVerdict, VerdictRow, compare_registers

if TYPE_CHECKING:
    from fuki_qemu.session import HostedBoot


class StartVerdict(Struct, frozen=True, rename="kebab"):
    """A start: the firmware that was found running at its end, a fwid or `plan.HOST`, and what was compared.

    Of the last start, `compared` has the firmware alone: what else is to be compared its own program tells.
    """

    firmware: str | None
    seconds: float
    compared: tuple[VerdictRow, ...]


def compare_starts(hosted: "HostedBoot") -> tuple[StartVerdict, ...]:
    """A verdict on each start that was, and one on each that was expected and did not come."""
    profile = hosted.expected[-1].prediction.case.profile if hosted.expected else None
    verdicts = []
    for number, (start, expected) in enumerate(zip_longest(hosted.starts, hosted.expected), 1):
        name = expected.firmware if expected else None
        running = (
            plan.running_firmware(hosted.layout, profile, hosted.settings, start.firmware, name) if start else None
        )
        is_last = number == len(hosted.starts)
        rows = tuple(_rows(start, expected, running, is_last=is_last)) if hosted.expected else ()
        verdicts.append(StartVerdict(running, round(start.seconds, 1) if start else 0.0, rows))
    return tuple(verdicts)


def _rows(
    start: Start | None, expected: ExpectedStart | None, running: str | None, *, is_last: bool
) -> Iterator[VerdictRow]:
    firmware = expected.firmware if expected else None
    if start is None:
        yield VerdictRow(
            what="firmware",
            bank="",
            predicted=firmware,
            measured=None,
            verdict=BootVerdict.MISSING,
            difference="the guest did not start so often",
        )
        return

    difference = ""
    if expected is None:
        difference = "this start was not expected"
    elif running != firmware:
        difference = "its pages below 4 GiB are another's" if running else "its pages are nobody's that is known"
    yield VerdictRow(
        what="firmware",
        bank="",
        predicted=firmware,
        measured=running,
        verdict=BootVerdict.DIFFERENT if difference else BootVerdict.EQUAL,
        difference=difference,
    )

    if is_last or expected is None:
        return
    if start.report is None:
        yield VerdictRow(
            what="registers",
            bank="",
            predicted=None,
            measured=None,
            verdict=BootVerdict.MISSING,
            difference="the guest has no TPM that could be read",
        )
    else:
        yield from compare_registers(expected.prediction, start.report)
