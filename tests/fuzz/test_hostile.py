"""Small inputs that once took minutes, gigabytes or the program down."""

from pathlib import Path
from uuid import UUID

import msgspec
import pytest

from fuki_build.errors import FormatError, RecipeError
from fuki_build.formats.pe import pe
from fuki_build.formats.pe.minimal_image import minimal_image
from fuki_build.formats.uki import efifw, hwids
from fuki_build.formats.uki.hwids import Device, DeviceType
from fuki_build.image.describe import describe
from fuki_build.image.inspect import inspect
from fuki_build.recipe.load import load_recipe
from fuki_build.ukify.arguments import parse
from fuki_build.ukify.configuration import apply

SLOTS = 1600


def write_image(path: Path, content: bytes, *places: tuple[str, int, int]) -> Path:
    """An image whose sections (name, offset, size) are parts of one content, and may overlap."""
    headers = minimal_image(pe.CoffMachine.x64, len(places))
    start = headers.optional.size_of_headers
    sections = tuple(
        pe.SectionHeader(
            raw_name=name.encode().ljust(8, b"\0"),
            virtual_size=size,
            virtual_address=0x1000 * number,
            raw_size=size,
            raw_offset=start + at,
            relocations=0,
            line_numbers=0,
            number_of_relocations=0,
            number_of_line_numbers=0,
            flags=0x40000040,
        )
        for number, (name, at, size) in enumerate(places, 1)
    )

    path.write_bytes(pe.encode(headers.with_sections(sections)) + content)
    return path


def table(ids: int) -> bytes:
    return hwids.encode([Device(DeviceType.UEFI_FW, "n", "f", frozenset(UUID(int=i) for i in range(ids)))])


@pytest.mark.parametrize("name", [".profile", ".cmdline", ".efifw", ".hwids"])
def test_a_thousand_sections_that_share_their_bytes_are_refused(tmp_path: Path, name: str):
    file = write_image(tmp_path / "image.efi", bytes(64 * 1024), *[(name, 0, 64 * 1024)] * SLOTS)
    with pytest.raises(FormatError, match="claim"):
        inspect(file)


def test_ids_are_shown_for_the_one_firmware_that_they_select(tmp_path: Path):
    ids = table(1000)
    firmware = efifw.encode_header("f", 1) + b"x"
    places = [(".efifw", len(ids) + number * len(firmware), len(firmware)) for number in range(SLOTS - 1)]
    content = ids + firmware * len(places)
    view = describe(inspect(write_image(tmp_path / "image.efi", content, (".hwids", 0, len(ids)), *places)))
    assert [len(image.chids) for image in view.firmware] == [1000] + [0] * (len(places) - 1)
    assert len(msgspec.json.encode(view)) < 10 * len(content)


def test_settings_that_every_section_repeats_are_refused(tmp_path: Path):
    file = tmp_path / "ukify.conf"
    file.write_text(
        "[DEFAULT]\n" + "".join(f"a{i}=\n" for i in range(4000)) + "".join(f"[b{i}]\n" for i in range(4000))
    )
    told: list[str] = []
    with pytest.raises(RecipeError, match="more than 4096 settings"):
        told.extend(apply(parse(["build"]), file))
    assert len(told) <= 4096


TOML = {
    "an endless integer": "[fuki]\nname = " + "1" * 5000,
    "endless lists": "[fuki]\nname = " + "[" * 5000,
    "endless keys": "[fuki]\n" + ".".join("a" * 2000) + " = 1",
    "an endless table": "[fuki." + ".".join("a" * 2000) + "]\n",
    "endless parentheses": '[fuki]\nname = "{{ ' + "(" * 3000 + '"',
    "a NUL": "[fuki]\nname = '\0'",
}


@pytest.mark.parametrize("case", TOML)
def test_a_recipe_that_exhausts_its_parser_is_refused(tmp_path: Path, case: str):
    file = tmp_path / "fuki.toml"
    file.write_text(TOML[case])
    with pytest.raises(RecipeError):
        load_recipe(file)


MKOSI = {
    "an endless integer": "Firmware=source=file path=[" + "1" * 5000 + "]",
    "endless lists": "Firmware=source=file path=" + "[" * 5000,
    "a NUL": "Recipe=a\0b",
    "an endless name": "Recipe=" + "a" * 5000,
    "an endless path": "Recipe=" + "a/" * 5000,
    "the directory": "Recipe=.",
    "an endless value": "Cmdline=a\n" + " b\n" * 80000,
    "an endless line": "Cmdline=" + "a" * 80000,
    "an endless section": "Name=a\n" * 40000,
}


@pytest.mark.parametrize("case", MKOSI)
def test_a_section_that_exhausts_its_parser_is_refused(tmp_path: Path, case: str):
    file = tmp_path / "mkosi.conf"
    file.write_text(f"[Fuki]\n{MKOSI[case]}\n")
    with pytest.raises(RecipeError):
        load_recipe(file)
