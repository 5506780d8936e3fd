from collections.abc import Iterator
from contextlib import suppress
from struct import pack

from fuki_build.errors import FormatError
from fuki_build.formats.uki import hand_over_outcome, hand_over_program
from fuki_build.formats.uki.hand_over_program import ProgramTable


def seeds() -> Iterator[bytes]:
    yield pack("<HHHHIIQHHIQQ16s", 1, 67, 1, 0, 0, 0, 4096, 1, 0, 9, 1 << 32, 0, bytes(range(16))) + b"fw\0"
    yield hand_over_program.fill_in(bytes(64), ProgramTable("vm-launch-update", 48, 0x1000))


def run(data: bytes) -> None:
    with suppress(FormatError):
        outcome = hand_over_outcome.decode(data)
        assert len(outcome.fwid) <= len(data)
    with suppress(FormatError):
        table = hand_over_program.decode(data, len(data))
        assert hand_over_program.TABLE_SIZE <= table.entry < len(data)
