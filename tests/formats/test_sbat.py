from collections.abc import Callable
from pathlib import Path

import pytest

from fuki_build.errors import FormatError
from fuki_build.formats.pe import pe
from fuki_build.formats.uki import sbat

Part = Callable[[str], Path]

# The first lines of the tables that systemd 262.1's ukify writes; the URL is that of shim's document.
A = "a,1,Acme,a,1,https://example.com/"
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
    assert sbat.parse(f"{HEADER}\n\n{A}\n\0\0\0".encode()) == (A,)


def test_line_ends_of_windows_are_accepted():
    assert sbat.parse(f"{HEADER}\r\n{A}\r\n".encode()) == (A,)


def test_a_byte_order_mark_is_passed_over():
    assert sbat.parse(b"\xef\xbb\xbf" + f"{HEADER}\n{A}\n".encode()) == (A,)
    assert sbat.decode_level(b"\xef\xbb\xbfsbat,1,2026010100\n")[0].component == "sbat"


def test_empty_lines_before_the_header_are_passed_over():
    assert sbat.parse(f"\r\n\n{HEADER}\n{A}\n".encode()) == (A,)


def test_bytes_that_are_no_text_are_no_reason_to_refuse_a_table():
    """shim looks at commas and line ends only."""
    (_, row) = sbat.decode(f"{HEADER}\n".encode() + b"a,3,\xff\xfe,a,1,url\n")
    assert (row.component, row.generation) == ("a", 3)


def test_bytes_that_are_no_text_are_merged_as_they_are():
    line = b"a,3,\xff\xfe,a,1,url"
    assert sbat.merge([sbat.parse(f"{HEADER}\n".encode() + line)]) == f"{HEADER}\n".encode() + line + b"\n"


def test_a_short_line_of_an_image_is_refused_with_what_a_line_has():
    with pytest.raises(FormatError, match=r"'foo,1'.* 6 fields") as caught:
        sbat.parse(f"{HEADER}\nfoo,1\n".encode())
    assert caught.value.hint == "component,generation,vendor,package,version,url"


def test_a_short_line_of_a_level_is_not_told_to_be_as_an_images():
    with pytest.raises(FormatError, match=r"'shim'.* 2 fields") as caught:
        sbat.decode_level(b"sbat,1,2026010100\nshim\n")
    assert caught.value.hint is None


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\0\0\0", id="padding only"),
        pytest.param(A.encode(), id="no header line"),
        pytest.param(HEADER.encode() + b"\nsystemd\n", id="no generation"),
        pytest.param(HEADER.encode() + b"\nfoo,1\n", id="two fields"),
        pytest.param(HEADER.encode() + b"\nfoo,1,Acme,foo,1\n", id="five fields"),
        pytest.param(HEADER.encode() + b"\nfoo,1,Acme,,1,url\n", id="an empty field"),
    ],
)
def test_what_is_no_table_is_refused(table: bytes):
    """As shim does (parse_sbat_section): one short line fails the whole table."""
    with pytest.raises(FormatError, match="SBAT"):
        sbat.parse(table)


@pytest.mark.parametrize(
    "level", [b"", b"shim,4\n", b"sbat,1,2026010100\nshim\n", b" sbat,1,2026010100\n", b"Xsbat,1\n"]
)
def test_what_is_no_level_is_refused(level: bytes):
    with pytest.raises(FormatError, match="SBAT"):
        sbat.decode_level(level)


def line(component: str, generation: str) -> str:
    return f"{component},{generation},Acme,{component},1,https://example.com/"


@pytest.mark.parametrize(
    ("rows", "level", "revoked"),
    [
        pytest.param(["a,1"], ["a,1"], False, id="the same generation"),
        pytest.param(["a,1"], ["a,2"], True, id="an older generation"),
        pytest.param([], ["sbat,2"], True, id="SBAT itself"),
        pytest.param(["a,1"], ["a,3", "a,1"], True, id="two rows of the level, the first is higher"),
        pytest.param(["a,1"], ["a,1", "a,3"], True, id="two rows of the level, the second is higher"),
        pytest.param(["a,3", "a,1"], ["a,2"], True, id="two rows of the image"),
        pytest.param(["a,one"], ["a,1"], True, id="a generation in words is 0"),
        pytest.param(["a,2x"], ["a,2"], False, id="a number with something behind it"),
        pytest.param(["a,-1"], ["a,1"], True, id="a negative generation"),
        pytest.param(["a, 2"], ["a,2"], False, id="atoi skips blanks before the number"),
        pytest.param(["a,0"], ["a,0"], False, id="no generation is not below none"),
        pytest.param(["a,0"], ["b,1"], False, id="a component that the level does not name"),
        pytest.param(["a,65537"], ["a,2"], True, id="a generation is cut to 16 bits"),
        pytest.param(["a,5"], ["a,65537"], False, id="that of the level too"),
    ],
)
def test_revocation_is_shims(rows: list[str], level: list[str], revoked: bool):
    """verify_single_entry of shim 15.8: each row against each, generations as UINT16 of atoi."""
    image = sbat.decode("\n".join([HEADER, *(line(*row.split(",")) for row in rows)]).encode())
    known = sbat.decode_level("\n".join(["sbat,1,2026010100", *level] if level[0][:4] != "sbat" else level).encode())
    assert bool(sbat.revoked(image, known)) == revoked


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([line("a", "0")], "no generation"),
        ([line("a", "one")], "no generation"),
        ([line("a", "65536")], "no generation"),
        ([line("a", "01")], "no generation"),
        ([line("\u00e4", "1")], "not ASCII"),
        ([line("a", "1"), line("a", "2")], "different generations"),
        ([line("sbat", "1")], "a second one for SBAT"),
    ],
)
def test_what_shim_takes_and_its_document_forbids_is_told(rows: list[str], problem: str):
    (told,) = sbat.problems(sbat.decode("\n".join([HEADER, *rows]).encode()))
    assert problem in told
    assert "SBAT lines of a " in told or repr(rows[-1]) in told


def test_nothing_is_told_of_the_tables_of_real_stubs(part: Part):
    for name in ("stub-x64", "stub-257-x64"):
        assert list(sbat.problems(sbat.decode(table_of(part(name))))) == []


def test_of_several_rows_of_a_component_the_lowest_generation_counts():
    lines = (line("a", "3"), line("b", "1"), line("a", "2"), line("a", "4"))
    rows = sbat.decode("\n".join((HEADER, *lines)).encode())
    assert sbat.generations(rows) == {"sbat": 1, "a": 2, "b": 1}
