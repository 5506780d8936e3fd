from collections.abc import Iterator
from contextlib import suppress

from fuki_build.errors import FormatError
from fuki_build.hardware import capture
from fuki_build.hardware.chid import stub_chids
from fuki_build.hardware.machine import STRINGS, decode_file, encode_file

from .target_smbios import TABLE, dump

_FILE = b"""\
[machine]
name = "lab"
manufacturer = "QEMU"
product = "Standard PC (Q35 + ICH9, 2009)"
bios-major = "02"
chids = { 11 = "7f5dbe14-cfc8-595a-95fd-0fda870d7b52" }
"""


def seeds() -> Iterator[bytes]:
    yield _FILE
    yield _FILE.replace(b"QEMU", b"\\u00dc\\\\ \\t\\u007f")
    yield dump(TABLE)
    yield dump(TABLE.replace(b"Product", b"Caf\xe9\xed\xa0 \xff"))
    yield b'[machine]\nproduct = { hex = "436166e920426f78" }\n'
    yield b"System Information\n\tManufacturer: LENOVO\n\tProduct Name: 20ARS19C0C\n"


def run(data: bytes) -> None:
    with suppress(FormatError):
        machine = capture.decode(data, "x")
        stub_chids(machine)
        if machine.chids or any(getattr(machine, field) for field in STRINGS):
            again = decode_file(encode_file(machine), "y")
            assert sorted(again.chids) == sorted(machine.chids)
            assert [getattr(again, f) for f in STRINGS] == [getattr(machine, f) for f in STRINGS]
