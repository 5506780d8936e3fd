"""What hand-over programs of booted guests left."""

from fuki_qemu.report import decode as decode_report

from fuki_build.formats.uki import hand_over_outcome
from fuki_build.formats.uki.hand_over_outcome import HandOverOutcome
from tests.boot.conftest import Bench


def outcome_of(bench: Bench) -> HandOverOutcome:
    """What the program left in the guest that was booted last."""
    latest = max(bench.directory.glob("boot-*"), key=lambda path: int(path.name.removeprefix("boot-")))
    report = decode_report(next(path for name in ("report", "debug") if (path := latest / name).exists()).read_bytes())
    assert report
    return hand_over_outcome.decode(report.variables[hand_over_outcome.NAME])
