"""Instructions of an x64 program that write into the program's own data.

They are looked for without disassembling: an instruction that addresses memory relative to itself has a ModRM byte
with mod 0 and r/m 5, and behind it a distance and perhaps a constant (Intel, "Software Developer's Manual", volume 2,
2.2.1.6 and appendix A). Every place counts that can be read so, as an instruction that writes, and that leads to data
which can be written; so there are rather too many than too few. What is written through a pointer is not seen.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from fuki_build.errors import FormatError
from fuki_build.formats.pe import pe

_MODRM = re.compile(rb"[\x05\x0d\x15\x1d\x25\x2d\x35\x3d]")
_DISTANCE = 4
_ESCAPE, _OPERAND_SIZE, _REX = 0x0F, 0x66, range(0x40, 0x50)

_WRITING = frozenset(
    bytes.fromhex(
        "00 01 08 09 10 11 18 19 20 21 28 29 30 31"  # arithmetic
        "86 87 88 89 8c 8f"  # xchg, mov, pop
        "c0 c1 d0 d1 d2 d3 c6 c7"  # shifts, mov of a constant
        "d8 d9 da db dc dd de df"  # x87, whatever it does
    )
)
_WRITING_OF_GROUP = {
    **dict.fromkeys((0x80, 0x81, 0x83), (0, 1, 2, 3, 4, 5, 6)),  # arithmetic with a constant, but cmp
    **dict.fromkeys((0xF6, 0xF7), (2, 3)),  # not, neg
    **dict.fromkeys((0xFE, 0xFF), (0, 1)),  # inc, dec
}
"""Opcodes of one byte whose middle field of ModRM says what they do, and the values of it that write."""
_READING_ESCAPED = frozenset(
    bytes.fromhex(
        "10 12 28 2a 2c 2d 2e 2f 6e 6f"  # SSE into a register
        "40 41 42 43 44 45 46 47 48 49 4a 4b 4c 4d 4e 4f"  # cmov
        "18 1f a3 af b6 b7 bc bd be bf"  # prefetch, nop, bt, imul, movzx, bsf, bsr, movsx
    )
)
"""Of the many opcodes of two bytes those that only read; every other one counts as writing."""
_WITH_BYTE = frozenset((0x80, 0x83, 0xC0, 0xC1, 0xC6))
_WITH_WORD = frozenset((0x81, 0xC7))
_ESCAPED_WITH_BYTE = frozenset((0xA4, 0xAC, 0xBA))
_MOV_CONSTANT = 0xC7


class OwnStore(NamedTuple):
    """Where an instruction writes, as an offset in the program's file, and the 4 bytes that it has in it, if any."""

    target: int
    constant: int | None


class _Instruction(NamedTuple):
    escaped: bool
    opcode: int
    field: int

    @property
    def writes(self) -> bool:
        if self.escaped:
            return self.opcode not in _READING_ESCAPED
        return self.opcode in _WRITING or self.field in _WRITING_OF_GROUP.get(self.opcode, ())

    def constant_sizes(self, *, may_be_short: bool) -> tuple[int, ...]:
        """How many bytes of a constant can stand behind the distance."""
        if self.escaped:
            return (1,) if self.opcode in _ESCAPED_WITH_BYTE else (0,)
        if self.opcode in _WITH_BYTE:
            return (1,)
        if self.opcode in _WITH_WORD:
            return (4, 2) if may_be_short else (4,)
        return (0,)


def own_stores(program: bytes) -> tuple[OwnStore, ...]:
    """The stores of a PE image that runs where it lies, in the order of its code.

    Raises `FormatError` for another kind of program, and where its file is not laid out as its memory.
    """
    headers = pe.decode(program[: pe.HEAD_SIZE], len(program))
    if headers.coff.machine != pe.CoffMachine.x64:
        raise FormatError(f"it has code for {pe.machine_name(headers.coff.machine)}")
    if any(section.raw_offset != section.virtual_address for section in headers.sections if section.raw_size):
        raise FormatError("its sections are elsewhere in memory than in the file")

    data = [
        range(section.virtual_address, section.virtual_address + max(section.virtual_size, section.raw_size))
        for section in headers.sections
        if section.flags & pe.SCN_WRITE
    ]
    return tuple(
        store
        for section in headers.sections
        if section.flags & pe.SCN_EXECUTE
        for store in _stores(program, section)
        if any(store.target in part for part in data)
    )


def _stores(program: bytes, section: pe.SectionHeader) -> Iterator[OwnStore]:
    """What can be read as a store, wherever it leads."""
    start, end = section.raw_offset, section.raw_offset + section.raw_size
    for match in _MODRM.finditer(program, start + 1, end - _DISTANCE):
        at = match.start()
        behind = at + 1 + _DISTANCE
        distance = int.from_bytes(program[at + 1 : behind], "little", signed=True)
        before = program[max(start, at - 3) : at]

        for instruction in _readings(before, program[at]):
            if not instruction.writes:
                continue
            for size in instruction.constant_sizes(may_be_short=_is_short(before)):
                is_word = size == _DISTANCE and instruction.opcode == _MOV_CONSTANT
                constant = int.from_bytes(program[behind : behind + size], "little") if is_word else None
                yield OwnStore(behind + size + distance, constant)


def _readings(before: bytes, modrm: int) -> Iterator[_Instruction]:
    """What stands before a ModRM byte can be an opcode of one byte, or also one of two."""
    field = modrm >> 3 & 7
    yield _Instruction(escaped=False, opcode=before[-1], field=field)
    if before[-2:-1] == bytes([_ESCAPE]):
        yield _Instruction(escaped=True, opcode=before[-1], field=field)


def _is_short(before: bytes) -> bool:
    """Whether a prefix before the opcode makes operands of 2 bytes."""
    prefixes = before[:-1]
    if prefixes and prefixes[-1] in _REX:
        prefixes = prefixes[:-1]
    return prefixes[-1:] == bytes([_OPERAND_SIZE])
