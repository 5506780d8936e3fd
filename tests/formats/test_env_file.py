import subprocess
from pathlib import Path

import pytest

from fuki_build.errors import FormatError
from fuki_build.formats.uki import env_file

# Debian 12's own file.
DEBIAN = b"""\
PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
NAME="Debian GNU/Linux"
VERSION_ID="12"
VERSION="12 (bookworm)"
VERSION_CODENAME=bookworm
ID=debian
HOME_URL="https://www.debian.org/"
"""

VALUES = {
    "plain": "acme-41.3_a+b",
    "empty": "",
    "spaces": "Acme  Linux 41",
    "double quotes": 'the "best"',
    "single quotes": "it's",
    "dollar": "costs $HOME and ${PATH}",
    "backticks": "`id`",
    "backslashes": r"a\b\\c\"",
    "hash": "a # b",
    "semicolon": "a;b&c|d",
    "equals": "root=LABEL=x",
    "unicode": "Grüße ☃",
    "tab": "a\tb",
}


def test_a_real_os_release_is_read():
    assert env_file.decode(DEBIAN) == {
        "PRETTY_NAME": "Debian GNU/Linux 12 (bookworm)",
        "NAME": "Debian GNU/Linux",
        "VERSION_ID": "12",
        "VERSION": "12 (bookworm)",
        "VERSION_CODENAME": "bookworm",
        "ID": "debian",
        "HOME_URL": "https://www.debian.org/",
    }


@pytest.mark.parametrize("name", VALUES)
def test_a_shell_reads_what_was_encoded(tmp_path: Path, name: str):
    file = tmp_path / "os-release"
    file.write_bytes(env_file.encode([("VALUE", VALUES[name])]))
    script = '. "$0"; printf %s "$VALUE"'
    done = subprocess.run(["sh", "-c", script, file], capture_output=True, check=True)
    assert done.stdout.decode() == VALUES[name]


@pytest.mark.parametrize("name", VALUES)
def test_what_was_encoded_is_decoded(name: str):
    assert env_file.decode(env_file.encode([("VALUE", VALUES[name])])) == {"VALUE": VALUES[name]}


def test_plain_values_are_not_quoted():
    assert env_file.encode([("ID", "acme"), ("TITLE", "Debug shell")]) == b'ID=acme\nTITLE="Debug shell"\n'


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (b"A=b", "b"),
        (b"A='b c'", "b c"),
        (b"A='$b'", "$b"),
        (b'A="b\\$c"', "b$c"),
        (b'A="b\\"c"', 'b"c'),
        (b'A="b\\nc"', "b\\nc"),
        (b"A='b'\"c\"", "bc"),
        (b"A=b\\ c", "b c"),
        (b"  A=b  ", "b"),
        (b"A=b\r", "b"),
        (b"A=", ""),
        (b'A="unfinished', "unfinished"),
    ],
)
def test_a_value_is_read_as_a_shell_would(line: bytes, value: str):
    assert env_file.decode(line + b"\n") == {"A": value}


@pytest.mark.parametrize("line", [b"# A=b", b"", b"A", b"=b", b"1A=b", b"A B=c", b"export A=b"])
def test_a_line_that_is_no_assignment_is_passed_over(line: bytes):
    assert env_file.decode(b"ID=x\n" + line + b"\n") == {"ID": "x"}


def test_the_last_assignment_counts():
    assert env_file.decode(b"A=1\nA=2\n") == {"A": "2"}


def test_padding_is_told_from_what_stands_before_it():
    assert env_file.decode(b"ID=BOX\0\0") == {"ID": "BOX"}


def test_padding_is_no_content():
    assert env_file.decode(b"A=1\0\0\0") == {"A": "1"}


def test_text_that_is_not_utf8_is_refused():
    with pytest.raises(FormatError, match="UTF-8"):
        env_file.decode(b"A=\xff\n")


@pytest.mark.parametrize("value", ["a\nb", "a\0b"])
def test_a_value_of_several_lines_is_not_written(value: str):
    with pytest.raises(FormatError, match="single line"):
        env_file.encode([("A", value)])
