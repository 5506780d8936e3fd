from typing import Any
from uuid import UUID

import pytest

from fuki_build.errors import FormatError
from fuki_build.hardware.machine import STRINGS, Machine, decode_file, encode_file, from_table

FILE = b"""\
[machine]
name = "lab"
manufacturer = "QEMU"
product = "Standard PC (Q35 + ICH9, 2009)"
baseboard-manufacturer = "Acme \\"Boards\\""
bios-major = "02"
panel-id = "BOE0b66"
"""
LAB = Machine(
    name="lab",
    manufacturer="QEMU",
    product="Standard PC (Q35 + ICH9, 2009)",
    baseboard_manufacturer='Acme "Boards"',
    bios_major="02",
    panel_id="BOE0b66",
)


def test_a_machine_file_is_toml_with_one_table():
    assert decode_file(FILE, "file") == LAB


def test_a_machine_without_a_name_is_called_as_its_file():
    assert decode_file(b'[machine]\nmanufacturer = "QEMU"\n', "lab-7").name == "lab-7"


def test_a_machine_file_can_hold_ids_instead_of_strings():
    text = b'[machine]\nchids = { 11 = "7f5dbe14-cfc8-595a-95fd-0fda870d7b52" }\n'
    assert decode_file(text, "x").chids == ((11, UUID("7f5dbe14-cfc8-595a-95fd-0fda870d7b52")),)


def test_what_is_written_is_what_was_read():
    strings: dict[str, Any] = {field: f"{field} \t\n\r\x00\x1f\x7f\x85\u2028 \"'\\ ü 🖥" for field in STRINGS}
    everything = Machine(name="all", **strings)
    assert decode_file(encode_file(everything), "other") == everything


def test_what_is_written_has_only_what_is_known():
    assert encode_file(Machine(name="x", manufacturer="QEMU")) == b'[machine]\nname = "x"\nmanufacturer = "QEMU"\n'


def test_a_string_that_is_not_utf_8_is_written_as_its_bytes():
    machine = Machine(name="caf\udce9", manufacturer="Acme", product="Caf\udce9 Box")
    data = encode_file(machine)
    assert b'product = { hex = "436166e920426f78" }' in data
    assert decode_file(data, "x") == machine.renamed(r"caf\xe9")


MISTAKES = {
    "no TOML": (b"[machine", "not a machine file", None),
    "no text": (b"\xff[machine]", "not a machine file", None),
    "deep nesting": (b"a = " + b"[" * 100_000, "not a machine file", None),
    "nothing": (b"", "exactly one table, [machine]", None),
    "a value": (b"machine = 1", "exactly one table, [machine]", None),
    "several machines": (b"[[machine]]\n", "exactly one table, [machine]", None),
    "another table": (b"[machine]\n[other]\n", "exactly one table, [machine]", None),
    "a misspelt key": (b'[machine]\nmanufacurer = "QEMU"\n', "unknown key 'manufacurer'", "'manufacturer'"),
    "a key as Python has it": (b'[machine]\nbios_vendor = "x"\n', "unknown key 'bios_vendor'", "'bios-vendor'"),
    "an odd key": (b'[machine]\nzzz = "x"\n', "unknown key 'zzz'", "known: name, manufacturer"),
    "bytes that are none": (b'[machine]\nproduct = { hex = "xy" }', "'product' is not in hexadecimal", None),
    "bytes that are a number": (b"[machine]\nproduct = { hex = 1 }", "'product' is not in hexadecimal", None),
    "a NUL": (b'[machine]\nproduct = { hex = "00" }', "has a NUL", None),
    "a name in bytes": (b'[machine]\nname = { hex = "41" }', "'name' is not a string", None),
    "a number": (b"[machine]\nbios-major = 2\n", "'bios-major' is not a string", None),
    "a name that is no string": (b"[machine]\nname = 2\n", "'name' is not a string", None),
    "no strings at all": (b'[machine]\nname = "x"\n', "has no strings", "manufacturer"),
    "a list of ids": (b'[machine]\nchids = ["x"]\n', "not a table of UUIDs by type", None),
    "an id that is none": (b'[machine]\nchids = { 11 = "x" }\n', "not a table of UUIDs by type", None),
    "an id that is a number": (b"[machine]\nchids = { 11 = 7 }\n", "not a table of UUIDs by type", None),
    "a type that is none": (
        b'[machine]\nchids = { x = "7f5dbe14-cfc8-595a-95fd-0fda870d7b52" }\n',
        "not a table of UUIDs by type",
        None,
    ),
    "a type that does not exist": (
        b'[machine]\nchids = { 18 = "7f5dbe14-cfc8-595a-95fd-0fda870d7b52" }\n',
        "no CHID type 18",
        "0 to 17",
    ),
}


@pytest.mark.parametrize(("data", "problem", "remedy"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_in_a_machine_file_is_told(data: bytes, problem: str, remedy: str | None):
    with pytest.raises(FormatError) as caught:
        decode_file(data, "x")
    assert problem in caught.value.message
    if remedy:
        assert remedy in (caught.value.hint or "")


def test_a_machine_of_a_table_takes_the_name_that_stands_in_it():
    assert from_table({"name": "one", "manufacturer": "QEMU"}, "two").name == "one"
