"""What counts as the output that a page shows."""

from tests.docs.pages import matches


def test_equal_output_is_what_a_page_shows():
    assert matches("wrote a.efi", "wrote a.efi\n", varies=False)


def test_other_output_is_not():
    assert not matches("wrote a.efi", "wrote b.efi\n", varies=False)


def test_missing_lines_are_noticed():
    assert not matches("one\nthree", "one\ntwo\nthree\n", varies=False)


def test_an_ellipsis_on_a_line_of_its_own_stands_for_any_lines():
    assert matches("one\n…\nfour", "one\ntwo\nthree\nfour\n", varies=False)
    assert not matches("one\n…\nfive", "one\ntwo\nthree\nfour\n", varies=False)


def test_an_ellipsis_within_a_line_stands_for_text_of_that_line_only():
    assert matches("size … bytes", "size 12 bytes\n", varies=False)
    assert not matches("size … bytes", "size 12\nbytes\n", varies=False)


def test_numbers_may_differ_only_where_a_page_says_so():
    assert matches("11.2 MiB at 0x200", "9.8 MiB  at  0x4f00\n", varies=True)
    assert not matches("11.2 MiB at 0x200", "9.8 MiB at 0x4f00\n", varies=False)


def test_hardware_ids_are_compared_even_where_numbers_vary():
    one, other = "817fca52-ae83-52f5-8642-9497f79d49d0", "a141acf9-eb8a-52b7-b7c8-e94b402a1590"
    assert matches(one, one, varies=True)
    assert not matches(one, other, varies=True)
