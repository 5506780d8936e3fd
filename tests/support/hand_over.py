"""What booted guests told, and what hand-over programs left in them."""

from fuki_qemu.report import GuestReport
from fuki_qemu.report import decode as decode_report

from fuki_build.formats.uki import hand_over_outcome
from fuki_build.formats.uki.hand_over_outcome import HandOverOutcome
from tests.boot.conftest import Bench


def report_of(bench: Bench) -> GuestReport:
    """What the guest told that was booted last."""
    latest = max(bench.directory.glob("boot-*"), key=lambda path: int(path.name.removeprefix("boot-")))
    report = decode_report(next(path for name in ("report", "debug") if (path := latest / name).exists()).read_bytes())
    assert report
    return report


def outcome_of(bench: Bench) -> HandOverOutcome:
    """What the program left in the guest that was booted last."""
    return hand_over_outcome.decode(report_of(bench).variables[hand_over_outcome.NAME])
