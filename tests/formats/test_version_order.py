"""The order of versions: the examples of UAPI.10, and whatever systemd's own comparison says of pairs."""

import itertools
import subprocess

import parts
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuki_build.formats.version_order import compare

# UAPI.10, "Examples": each row is in its order.
ROWS = [
    ["~1", "", "1"],
    ["ab", "abb", "abc", "0001", "002", "12"],
    ["122.1", "123~rc1-1", "123", "123-a", "123-a.1", "123-1", "123-1.1", "123^post1", "123.a-1", "123.1-1"],
    ["123.1-1", "123a-1", "124-1"],
]
EQUAL = [
    ("11", "11"),
    ("systemd-123", "systemd-123"),
    ("123.45-67.89", "123.45-67.89"),
    ("1_", "1"),
    ("_1", "1"),
    ("+1", "1"),
]
NEWER = [("1.2", "1_"), ("1_2_3", "1.3.3"), ("1.2", "1+"), ("1+2+3", "1.3.3")]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_each_is_older_than_all_behind_it(row):
    for older, newer in itertools.combinations(row, 2):
        assert (compare(older, newer), compare(newer, older)) == (-1, 1), (older, newer)


@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_what_the_specification_calls_equal_is(one, other):
    assert compare(one, other) == compare(other, one) == 0


@pytest.mark.parametrize(("one", "other"), NEWER)
def test_what_the_specification_calls_newer_is(one, other):
    assert (compare(one, other), compare(other, one)) == (1, -1)


ODD = [
    "1",
    "01",
    "1.0",
    "1.",
    "1..",
    "1-",
    "1^",
    "1~",
    "~",
    "^",
    "a",
    "B",
    "1a",
    "a1",
    "1+2",
    "12",
    "1.2-3",
    "1-2.3",
    "é1",
]


def test_systemd_orders_odd_versions_alike():
    program = parts.get("systemd-analyze")
    library = parts.get("libsystemd-shared").parent
    root = parts.get("mkosi-tools")
    loader = root / "usr/lib64/ld-linux-x86-64.so.2"
    libraries = f"{library}:{root}/usr/lib/x86_64-linux-gnu"
    for one, other in itertools.combinations(ODD, 2):
        command = [str(loader), "--library-path", libraries, str(program), "compare-versions", one, other]
        code = subprocess.run(command, capture_output=True, check=False).returncode
        assert compare(one, other) == {0: 0, 11: 1, 12: -1}[code], (one, other)


versions = st.text(alphabet="019aZ.-~^_", max_size=12)


@given(versions, versions, versions)
def test_it_is_an_order(one, two, three):
    assert compare(one, two) == -compare(two, one)
    assert compare(one, one) == 0
    if compare(one, two) <= 0 and compare(two, three) <= 0:
        assert compare(one, three) <= 0


def test_thousands_of_digits_are_compared_as_they_are():
    assert compare("1" + "0" * 100_000, "9" * 100_000) == 1
