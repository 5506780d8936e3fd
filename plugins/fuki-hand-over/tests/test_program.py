"""The program that is shipped is that of the sources, and what images can start with."""

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from fuki_build.formats.uki import hand_over_program
from fuki_build.formats.uki.hand_over_program import TABLE_SIZE, HandOverOptions, ProgramTable

from fuki_hand_over.programs import VM_LAUNCH_UPDATE

TOOL = Path(__file__).parents[1] / "tools" / "build_program.py"
SHIPPED = VM_LAUNCH_UPDATE.read_bytes()
POINTERS = """
static const char *const words[] = {"one", "two"};
const char *word(int number);
const char *word(int number) { return words[number]; }
"""


@pytest.fixture
def tool():
    spec = importlib.util.spec_from_file_location("build_program", TOOL)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_sources_give_what_is_shipped(tool):
    """Byte for byte with the same compiler; with another, what the linker's script asserts."""
    built = tool.build()
    assert hand_over_program.decode(built, len(built)).interface == "vm-launch-update"
    if VM_LAUNCH_UPDATE.with_name("built-with.txt").read_text() == tool.compiler():
        assert built == SHIPPED


def test_it_is_small_and_leaves_the_builder_zeros():
    assert len(SHIPPED) < 8 * 1024
    table = hand_over_program.decode(SHIPPED, len(SHIPPED))
    assert (table.stub_entry, table.options) == (0, 0)
    assert TABLE_SIZE <= table.entry < len(SHIPPED)


def test_what_the_builder_fills_in_is_read_at_run_time():
    """An optimiser that took the table's zeros for constants would have left no reference to it."""
    table = hand_over_program.decode(SHIPPED, len(SHIPPED))
    code = SHIPPED[table.entry : table.entry + 256]
    places = {16: "stub_entry", 20: "options"}
    for place, name in places.items():
        words = [int.from_bytes(code[at : at + 4], "little", signed=True) for at in range(252)]
        assert place in [word + table.entry + at + 4 for at, word in enumerate(words)], name


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("int counter; int next(void); int next(void) { return ++counter; }", "writable"),
        (POINTERS, "relocations|writable"),
    ],
)
def test_writable_data_and_relocations_do_not_link(source, complaint, tool, tmp_path, capfd):
    copy = tmp_path / "program"
    shutil.copytree(tool.SOURCES, copy)
    (copy / "extra.c").write_text(source + "\n")
    tool.SOURCES = copy
    with pytest.raises(subprocess.CalledProcessError):
        tool.link(tmp_path)
    assert re.search(complaint, capfd.readouterr().err)


def test_the_table_is_written_as_it_is_read():
    table = ProgramTable("vm-launch-update", 48, 0x1234, HandOverOptions.LOCK | HandOverOptions.POWER_OFF)
    filled = hand_over_program.fill_in(SHIPPED, table)
    assert len(filled) == len(SHIPPED)
    assert filled[TABLE_SIZE:] == SHIPPED[TABLE_SIZE:]
    assert hand_over_program.decode(filled, len(filled)) == table
