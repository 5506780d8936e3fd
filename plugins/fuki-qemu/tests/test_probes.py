"""The probes that are shipped are those of the sources."""

import importlib.util
from pathlib import Path

import parts
import pefile
from fuki_build import inspect

from fuki_qemu import PROBE
from fuki_qemu.programs import ADDON, KERNEL

TOOL = Path(__file__).parents[1] / "tools" / "build_probes.py"


def load_tool():
    spec = importlib.util.spec_from_file_location("build_probes", TOOL)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_sources_give_what_is_shipped():
    """Byte for byte with the same compiler; with another, what tests/boot relies on."""
    tool = load_tool()
    built = tool.build(parts.get("stub-x64"))
    shipped = {path.name: path.read_bytes() for path in (KERNEL, ADDON)}
    assert set(built) == set(shipped)
    if KERNEL.with_name("built-with.txt").read_text() == tool.compiler():
        assert built == shipped
    with pefile.PE(data=built[KERNEL.name]) as pe:
        check_headers(pe)


def check_headers(pe: pefile.PE) -> None:
    """What systemd-stub and firmware ask of a kernel that can be placed anywhere."""
    assert pe.OPTIONAL_HEADER.MajorImageVersion == 1
    assert pe.FILE_HEADER.TimeDateStamp == 0
    assert not pe.FILE_HEADER.IMAGE_FILE_RELOCS_STRIPPED
    assert pe.OPTIONAL_HEADER.DATA_DIRECTORY[5].Size == 0
    (section,) = pe.sections
    assert section.Misc_VirtualSize >= section.SizeOfRawData
    assert not section.IMAGE_SCN_MEM_WRITE
    assert pe.verify_checksum()


def test_the_shipped_probe_has_them_too():
    with pefile.PE(PROBE) as pe:
        check_headers(pe)


def test_the_addon_brings_a_first_program_and_nothing_that_ties_it_to_a_kernel():
    layout = inspect(ADDON)
    assert {section.name for section in layout.plain_sections} == {".cmdline", ".initrd", ".sbat"}
