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


def test_a_word_is_never_cut_and_what_does_not_fit_beside_the_keys_comes_after_them():
    table = make(("one", "1", "x" * 40), ("two", "2", "y" * 40))
    assert list(table.lines(46)) == [
        "Name Size",
        "one  1",
        "two  2",
        "",
        "Name What",
        f"one  {'x' * 40}",
        f"two  {'y' * 40}",
    ]


def test_what_does_not_fit_even_then_stands_below_the_keys():
    assert list(make(("one", "1", "x" * 40)).lines(43)) == [
        "Name Size",
        "one  1",
        "",
        "Name",
        "  What",
        "one",
        f"  {'x' * 40}",
    ]


def test_keys_are_repeated_and_columns_without_anything_are_left_out():
    table = TextTable("Name", "Profile", "Nothing", "Id", "Digest", keys=2)
    table.add_row("one", "@1", "", "0" * 36, "1" * 64)
    assert list(table.lines(80)) == [
        "Name Profile Id",
        f"one  @1      {'0' * 36}",
        "",
        "Name Profile Digest",
        f"one  @1      {'1' * 64}",
    ]
    assert next(table.lines()) == f"Name Profile Nothing {'Id':36} Digest"


def test_letters_that_take_two_columns_are_aligned():
    header, row = make(("固件", "1", "x")).lines()
    assert header == "Name Size What"
    assert row == "固件 1    x"


def test_letters_that_take_two_columns_are_folded_to_the_width():
    lines = list(make((" ".join(["固件"] * 20), "1", "x")).lines(40))
    assert len(lines) > 2
    assert all(sum(2 if c in "固件" else 1 for c in line) <= 40 for line in lines)


@pytest.mark.parametrize("cell", ["a\x1b[31mb", "a\nb", Cell("a\x1b[31m", "red")])
def test_control_characters_do_not_get_through(cell):
    assert all(line.isprintable() for line in make((cell, "1", "x")).lines())


def test_styles_are_for_terminals_that_know_them():
    table = make((Cell("valid", "green"), "1", "x"))
    assert "\x1b[32m" in "".join(table.lines(80, styled=True))
    assert [unstyle(line) for line in table.lines(80, styled=True)] == list(table.lines())
    assert "\x1b" not in "".join(table.lines(80))


@given(
    rows=st.lists(st.tuples(*[st.lists(WORD, max_size=4).map(" ".join)] * 3), max_size=4),
    width=st.integers(30, 200),
)
def test_a_terminal_gets_all_words_within_its_width(rows, width):
    lines = list(make(*rows).lines(width))
    assert all(line == line.rstrip() for line in lines)
    # A line is too long only where a single word is, with the keys before it or an indent.
    longest = max((len(word) for row in rows for cell in row for word in cell.split()), default=0)
    assert all(len(line) <= max(width, 2 + longest) for line in lines)

    shown = sorted(word for line in lines for word in line.split())
    words = sorted(word for row in rows for cell in row for word in cell.split())
    assert set(words) <= set(shown)


def test_each_cell_is_measured_a_few_times_only(monkeypatch):
    measured: list[str] = []
    width = tables._width

    def measuring(cell: str) -> int:
        measured.append(cell)
        return width(cell)

    monkeypatch.setattr(tables, "_width", measuring)
    list(make(*[("one", "1", "the first")] * 1000).lines())
    assert len(measured) <= 3 * 3 * 1001
