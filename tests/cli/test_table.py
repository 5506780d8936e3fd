"""Tables on standard output, on terminals and in pipes."""

import pytest
from click import unstyle
from hypothesis import given
from hypothesis import strategies as st

from fuki_build.cli.render import table as tables
from fuki_build.cli.render.table import Cell, TextTable

WORD = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=60)


def make(*rows: tuple[Cell | str, ...], right: tuple[str, ...] = ()) -> TextTable:
    table = TextTable("Name", "Size", "What", right=right)
    for row in rows:
        table.add_row(*row)
    return table


def test_columns_are_aligned_and_lines_end_with_their_text():
    table = make(("one", "1", "the first"), ("another", "1000", ""), right=("Size",))
    assert list(table.lines()) == [
        "Name    Size What",
        "one        1 the first",
        "another 1000",
    ]


def test_a_pipe_gets_each_row_in_one_line():
    text = "word " * 200 + "end"
    (_, row) = make(("one", "1", text)).lines()
    assert row == f"one  1    {text}"


def test_a_table_without_rows_is_its_headings():
    assert list(make().lines()) == ["Name Size What"]


def test_a_terminal_gets_the_widest_column_folded_at_words():
    table = make(("one", "1", "some words that do not fit into a line"))
    assert list(table.lines(30)) == [
        "Name Size What",
        "one  1    some words that do",
        "          not fit into a line",
    ]


def test_columns_of_one_width_are_folded_together():
    table = make(("x" * 40, "1", "y" * 40))
    lines = list(table.lines(60))
    assert max(map(len, lines)) <= 60
    assert all(line.count("x") == line.count("y") for line in lines)
    assert "".join(lines).count("x") == "".join(lines).count("y") == 40


def test_letters_that_take_two_columns_are_aligned():
    header, row = make(("固件", "1", "x")).lines()
    assert header == "Name Size What"
    assert row == "固件 1    x"


def test_letters_that_take_two_columns_are_folded_to_the_width():
    lines = list(make(("固" * 40, "1", "x")).lines(40))
    assert all(sum(2 if c == "固" else 1 for c in line) <= 40 for line in lines)


@pytest.mark.parametrize("cell", ["a\x1b[31mb", "a\nb", Cell("a\x1b[31m", "red")])
def test_control_characters_do_not_get_through(cell):
    assert all(line.isprintable() for line in make((cell, "1", "x")).lines())


def test_styles_are_for_terminals_that_know_them():
    table = make((Cell("valid", "green"), "1", "x"))
    assert "\x1b[32m" in "".join(table.lines(80, styled=True))
    assert [unstyle(line) for line in table.lines(80, styled=True)] == list(table.lines())
    assert "\x1b" not in "".join(table.lines(80))


@given(
    rows=st.lists(
        st.tuples(*[st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=60)] * 3), max_size=6
    ),
    width=st.integers(30, 200),
)
def test_a_terminal_gets_all_text_within_its_width(rows, width):
    lines = list(make(*rows).lines(width))
    assert all(len(line) <= width and line == line.rstrip() for line in lines)
    letters = sorted("".join(lines).replace(" ", ""))
    assert letters == sorted("NameSizeWhat" + "".join("".join(row) for row in rows))


def test_each_cell_is_measured_a_few_times_only(monkeypatch):
    measured: list[str] = []
    width = tables._width

    def measuring(cell: str) -> int:
        measured.append(cell)
        return width(cell)

    monkeypatch.setattr(tables, "_width", measuring)
    list(make(*[("one", "1", "the first")] * 1000).lines())
    assert len(measured) <= 3 * 3 * 1001
