"""`.fuki`: the hand-over program, and the table at its start that says how it is to run.

The format is this project's own: docs/reference/hand-over.md.
"""

from enum import IntFlag
from struct import Struct

import msgspec

from fuki_build.errors import FormatError
from fuki_build.formats.reader import unpack

MAGIC = b"FUKIHAND"
VERSION = 1
_TABLE = Struct("<8sHHIIII20s")  # magic, version, size, entry, stub_entry, options, reserved, interface
TABLE_SIZE = _TABLE.size
_INTERFACE_SIZE = 20


class HandOverOptions(IntFlag):
    """How firmware is handed over. Bits of the table's `options`, and of the outcome's."""

    LASTING = 1
    """For good. Otherwise for one reset, after which the host's firmware starts again."""
    LOCK = 2
    """The guest cannot hand over again until the host's firmware is back."""
    POWER_OFF = 4
    """The machine is switched off where the selected firmware cannot be started."""


class ProgramTable(msgspec.Struct, frozen=True):
    """The table: `entry` is where the program starts in its section, `stub_entry` where the stub does in the image."""

    interface: str
    entry: int
    stub_entry: int = 0
    options: HandOverOptions = HandOverOptions(0)


def decode(section: bytes, size: int) -> ProgramTable:
    """Decode the table from the first bytes of a section of `size` bytes. Raises `FormatError`."""
    magic, version, table_size, entry, stub_entry, options, _, interface = unpack(
        _TABLE, section, 0, "the hand-over program's table"
    )
    if magic != MAGIC:
        raise FormatError("the section holds no hand-over program of fuki's")
    if version != VERSION or table_size < TABLE_SIZE:
        raise FormatError(f"the hand-over program's table is of the unknown version {version}, {table_size} bytes")
    if not table_size <= entry < size:
        raise FormatError(f"the hand-over program starts at {entry:#x}, outside of its {size} bytes")

    name = interface.partition(b"\0")[0]
    try:
        return ProgramTable(name.decode("ascii"), entry, stub_entry, HandOverOptions(options))
    except UnicodeDecodeError:
        raise FormatError("the name of the hand-over program's interface is not ASCII") from None


def fill_in(program: bytes, table: ProgramTable) -> bytes:
    """The program with `table` in place of the one at its start."""
    name = table.interface.encode("ascii")
    if len(name) >= _INTERFACE_SIZE:
        raise FormatError(f"the name of a hand-over interface has at most {_INTERFACE_SIZE - 1} bytes, not {len(name)}")
    values = (MAGIC, VERSION, TABLE_SIZE, table.entry, table.stub_entry, table.options, 0, name)
    return _TABLE.pack(*values) + program[TABLE_SIZE:]
