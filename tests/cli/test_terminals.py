"""What people see on terminals of 80, 100 and 132 columns, and what programs get in a pipe."""

import hashlib
from pathlib import Path

import pefile
import pytest

from fuki_build.testing import succeed
from tests.support.rich import UKI, make_rich
from tests.support.terminal import on_terminal

PLAIN = {"NO_COLOR": "1"}

MATCH = {
    80: """\
Machine     Profile Firmware Devicetree Through
QEMU q35    @1      one      -          type 9 (QEMU q35)
QEMU i440fx @1      two      -          type 9 (QEMU i440fx)

Machine     Profile Hardware id
QEMU q35    @1      817fca52-ae83-52f5-8642-9497f79d49d0
QEMU i440fx @1      a141acf9-eb8a-52b7-b7c8-e94b402a1590
""",
    100: """\
Machine     Profile Firmware Devicetree Through              Hardware id
QEMU q35    @1      one      -          type 9 (QEMU q35)    817fca52-ae83-52f5-8642-9497f79d49d0
QEMU i440fx @1      two      -          type 9 (QEMU i440fx) a141acf9-eb8a-52b7-b7c8-e94b402a1590
""",
}
MATCH[132] = MATCH[100]


@pytest.fixture
def rich(workshop: Path, part) -> Path:
    """A directory with a built image that has some of everything."""
    directory = make_rich(workshop, part)
    succeed(directory, "build")
    return directory


def digests(path: Path) -> set[str]:
    """SHA-256 of every section, as another reader of PE files finds them."""
    image = pefile.PE(path, fast_load=True)
    contents = [section.get_data()[: section.Misc_VirtualSize] for section in image.sections]
    return {hashlib.sha256(content).hexdigest() for content in contents}


@pytest.mark.parametrize("columns", [80, 100, 132])
def test_digests_are_whole_and_no_line_is_broken_by_the_terminal(rich, columns):
    lines = on_terminal(rich, columns, "inspect", "--digests", UKI, **PLAIN).splitlines()
    words = {word for line in lines for word in line.split()}
    assert digests(rich / UKI) <= words
    # Lines of the SBAT table, and paths, may be one long word.
    assert [line for line in lines if len(line) > columns and "," not in line] == []


@pytest.mark.parametrize("columns", [80, 100, 132])
def test_hardware_ids_stand_beside_their_machines(rich, columns):
    shown = on_terminal(rich, columns, "match", UKI, "--platform", "qemu", "--profile", "1", **PLAIN)
    assert shown == MATCH[columns]


@pytest.mark.parametrize("columns", [80, 100, 132])
def test_several_images_are_laid_out_for_the_terminal_too(rich, columns):
    shown = on_terminal(rich, columns, "match", UKI, UKI, "--platform", "qemu", "--profile", "1", **PLAIN)
    assert shown == f"{UKI}:\n{MATCH[columns]}" * 2


@pytest.mark.parametrize("columns", [80, 100, 132])
def test_values_of_registers_are_whole(rich, columns):
    arguments = ("measure", UKI, "--platform", "qemu", "--profile", "1", "--pcr", "11", "--bank", "all")
    lines = on_terminal(rich, columns, *arguments, **PLAIN).splitlines()
    piped = {word for word in succeed(rich, *arguments).out.split() if len(word) >= 40 and ":" not in word}
    assert piped
    assert piped <= {word for line in lines for word in line.split()}
    assert [line for line in lines if len(line) > columns and len(line.split()) > 1] == []


@pytest.mark.parametrize("columns", [80, 100, 132])
@pytest.mark.parametrize("verb", [("plan",), ("verify", UKI), ("check", UKI), ("machine", "show"), ("plugins",)])
def test_a_line_is_longer_than_the_terminal_only_for_a_word(rich, verb, columns):
    lines = on_terminal(rich, columns, *verb, **PLAIN).splitlines()
    assert lines
    assert [line for line in lines if len(line) > columns and len(line.split()) > 1 and "," not in line] == []


def test_messages_break_between_words(rich):
    name = "an-image-with-a-rather-long-name-that-takes-most-of-a-line.efi"
    shown = on_terminal(rich, 80, "plan", name, **PLAIN)
    first, *others = shown.splitlines()
    assert first == "fuki: error: cannot open"
    assert others == [f"  {name}: No such file", "  or directory"]


def test_a_pipe_gets_a_line_for_each_row_as_long_as_it_is(rich):
    lines = succeed(rich, "inspect", "--digests", UKI).out.splitlines()
    rows = [line for line in lines if line.split()[-1:] and len(line.split()[-1]) == 64 and "0x" in line]
    assert {line.split()[-1] for line in rows} == digests(rich / UKI)
    assert len(rows) == len(pefile.PE(rich / UKI, fast_load=True).sections)
    assert all(line == line.rstrip() for line in lines)
