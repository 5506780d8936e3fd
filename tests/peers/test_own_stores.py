"""Stores of real firmware's programs into their own data, as objdump of binutils disassembles them."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import parts
import pytest

from fuki_build.formats.pe import pe
from fuki_build.formats.uefi.firmware_files import FileType, SectionType, files, sections
from fuki_build.formats.uefi.measured_firmware import measured_firmware
from fuki_build.formats.uefi.own_stores import own_stores

_FIRST_OPERAND = re.compile(
    r"\t(?:lock |rep |data16 )*(\w+) +(?:\w+ PTR )?\[rip[+-]0x[0-9a-f]+\].*# 0x([0-9a-f]+)$", re.MULTILINE
)
_READING = {"call", "cmp", "div", "idiv", "imul", "jmp", "lgdt", "lidt", "mul", "nop", "push", "test"}
_WRITES = 0x80000000


def programs(firmware: Path) -> Iterator[tuple[int, bytes]]:
    """The type of each driver's file in the first volume, and its program."""
    for file in files(measured_firmware(firmware.read_bytes()).volumes[0]):
        for section in sections(file.content):
            if section.type == SectionType.PE32:
                yield file.type, section.content


def disassembled(program: bytes, directory: Path) -> set[int]:
    """Where instructions write that objdump reads, one behind the other, as far as that is writable data."""
    path = directory / "program"
    path.write_bytes(program)
    headers = pe.decode(program, len(program))
    (code,) = [one for one in headers.sections if one.name == ".text"]
    limits = (f"--start-address={code.raw_offset}", f"--stop-address={code.raw_offset + code.raw_size}")
    command: list[str | Path] = ["objdump", "-D", "-b", "binary", "-m", "i386:x86-64", "-M", "intel", *limits, path]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout

    targets = {int(target, 16) for word, target in _FIRST_OPERAND.findall(text) if word not in _READING}
    data = [one for one in headers.sections if one.flags & _WRITES]
    return {at for at in targets if any(0 <= at - one.virtual_address < one.virtual_size for one in data)}


@pytest.mark.parametrize("part", ["ovmf-2020", "ovmf-2022", "ovmf-2025", "ovmf-generic", "ovmf-amdsev"])
def test_every_store_that_objdump_sees_is_seen(part: str, tmp_path: Path) -> None:
    seen = 0
    for kind, program in programs(parts.get(part)):
        expected = disassembled(program, tmp_path)
        stores = {store.target for store in own_stores(program)}
        assert expected <= stores
        seen += len(expected)

        if kind == FileType.PEI_CORE:
            assert stores == expected

    assert seen > 20
