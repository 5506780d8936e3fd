"""Section headers as `objdump -h` of binutils reads them, against `fuki inspect`."""

import re
from collections.abc import Callable
from pathlib import Path

import parts
import pytest

from fuki_build.testing import recipe

RECIPE = recipe(
    """
[[fuki.firmware]]
source = "directory"
path = "firmware/ovmf-amdsev"
hwids = "machines/a.json"
[[fuki.profile]]
id = "debug"
cmdline = "systemd.debug_shell=1"
[[fuki.addon]]
name = "serial"
cmdline = "console=ttyS0"
""",
    initrd=["early.img", "odd.img"],
    os_release="os-release",
    cmdline="quiet",
    splash="splash.bmp",
    dtbauto=["first.dtb", "second.dtb"],
    hwids="hwids",
)
ROW = re.compile(r"^ *\d+ (\S+) +([0-9a-f]{8}) +([0-9a-f]{8,16}) +[0-9a-f]{8,16} +([0-9a-f]{8}) ", re.MULTILINE)
IMAGE_BASE = re.compile(r"^ImageBase\s+([0-9a-f]+)$", re.MULTILINE)


Row = tuple[str, int, int, int]


@pytest.fixture(scope="module")
def rows(tool) -> Callable[..., list[Row]]:
    """Name, size, address and offset of every section, by objdump; addresses count from the image's base."""

    def read(path: Path, program: str | Path = "objdump", **environment: str) -> list[Row]:
        (base,) = (int(text, 16) for text in IMAGE_BASE.findall(tool(program, "-p", path, **environment)))
        matches = ROW.findall(tool(program, "-h", path, **environment))
        return [(name, int(size, 16), int(vma, 16) - base, int(offset, 16)) for name, size, vma, offset in matches]

    return read


def places(view):
    return [(s["name"], s["size"], s["address"], s["offset"]) for s in view["sections"]]


def test_names_sizes_addresses_and_offsets_of_an_image_are_those_of_objdump(directory, build, inspect, rows):
    (directory / "fuki.toml").write_text(RECIPE)
    image = build(directory)
    assert [name for name, *_ in rows(image)].count(".dtbauto") == 2
    assert places(inspect(image)) == rows(image)
    for addon in (directory / "image.efi.extra.d").iterdir():
        assert places(inspect(addon)) == rows(addon)


@pytest.mark.parametrize("name", ["stub-x64", "stub-257-x64", "addon-stub-x64", "kernel-x64"])
def test_systemd_s_programs_and_a_kernel_are_read_as_by_objdump(inspect, rows, name):
    assert places(inspect(parts.get(name))) == rows(parts.get(name))


@pytest.mark.parametrize("name", ["stub-aa64", "addon-stub-aa64", "kernel-aa64"])
def test_those_for_aa64_are_read_as_by_objdump_for_all_machines(inspect, rows, name):
    program = parts.get("objdump-multiarch")
    library = program.parent.parent / "lib" / "x86_64-linux-gnu"
    assert places(inspect(parts.get(name))) == rows(parts.get(name), program, LD_LIBRARY_PATH=str(library))
