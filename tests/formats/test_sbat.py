from collections.abc import Callable
from pathlib import Path

import pytest

from fuki_build.errors import FormatError
from fuki_build.formats import pe, sbat

Part = Callable[[str], Path]

# The first lines of the tables that systemd 262.1's ukify writes; the URL is that of shim's document.
HEADER = "sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md"


def table_of(path: Path) -> bytes:
    data = path.read_bytes()
    (section,) = (s for s in pe.decode(data[: pe.HEAD_SIZE], len(data)).sections if s.name == ".sbat")
    return data[section.raw_offset : section.raw_offset + section.raw_size]


@pytest.mark.parametrize("name", ["stub-x64", "stub-aa64", "stub-257-x64"])
def test_the_table_of_a_real_stub_names_systemd(part: Part, name: str):
    components = [line.split(",")[0] for line in sbat.parse(table_of(part(name)))]
    assert components[0].startswith("systemd")


def test_the_header_line_is_that_of_real_stubs(part: Part):
    assert table_of(part("stub-x64")).decode().splitlines()[0] == HEADER
    assert sbat.merge([]).decode() == f"{HEADER}\n"


def test_tables_are_merged_in_order_without_duplicates():
    assert sbat.merge([("a,1", "b,1"), ("b,1", "c,2")]).decode() == f"{HEADER}\na,1\nb,1\nc,2\n"


def test_lines_of_one_component_and_different_levels_are_both_kept():
    assert sbat.merge([("a,1",), ("a,2",)]).decode() == f"{HEADER}\na,1\na,2\n"


def test_padding_and_empty_lines_are_no_components():
    assert sbat.parse(f"{HEADER}\n\na,1,x\n\0\0\0".encode()) == ("a,1,x",)


def test_line_ends_of_windows_are_accepted():
    assert sbat.parse(b"sbat,1,x\r\na,1,x\r\n") == ("a,1,x",)


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\0\0\0", id="padding only"),
        pytest.param(b"systemd,1,x\n", id="no header line"),
        pytest.param(HEADER.encode() + b"\nsystemd\n", id="no generation"),
        pytest.param(HEADER.encode() + b"\nsystemd,one\n", id="a generation in words"),
        pytest.param(HEADER.encode() + b"\nsystemd,-1\n", id="a negative generation"),
        pytest.param(HEADER.encode() + "\nsystemd,\u00b2\n".encode(), id="a generation in superscript"),
        pytest.param(HEADER.encode() + b"\n\xff,1\n", id="no UTF-8"),
    ],
)
def test_what_is_no_table_is_refused(table: bytes):
    with pytest.raises(FormatError, match="SBAT"):
        sbat.parse(table)
