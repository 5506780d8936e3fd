"""References to sections of images: what is one, and what is a path."""

from pathlib import Path

import pytest

from fuki_build.image.addresses import SectionAddress, parse_address, split_reference


@pytest.mark.parametrize(
    ("text", "image", "address"),
    [
        ("x.efi:.linux", "x.efi", SectionAddress(".linux")),
        ("x.efi:.cmdline@debug", "x.efi", SectionAddress(".cmdline", profile="debug")),
        ("a/b:c/x.efi:.efifw:ovmf", "a/b:c/x.efi", SectionAddress(".efifw", "ovmf")),
        ("x.efi:.dtbauto:acme,board:2@1", "x.efi", SectionAddress(".dtbauto", "acme,board:2", "1")),
        ("a:.b/x.efi:.osrel", "a:.b/x.efi", SectionAddress(".osrel")),
    ],
)
def test_a_reference_has_an_image_and_an_address(text, image, address):
    assert split_reference(Path(text)) == (Path(image), address)


@pytest.mark.parametrize(
    "text", ["x.efi", "x.efi:linux", "x.efi:.much-too-long", ":.linux", "x.efi:.linux@", "a:.b/x.efi"]
)
def test_all_else_is_a_path(text):
    assert split_reference(Path(text)) is None


def test_a_path_of_no_sensible_length_is_told_without_matching_it():
    assert split_reference(Path("a" + ":.b" * 100_000 + "@")) is None


@pytest.mark.parametrize("text", ["cmdline", ".cmdline"])
def test_the_dot_of_a_name_may_be_left_out(text):
    assert parse_address(text) == SectionAddress(".cmdline")


@pytest.mark.parametrize("address", [SectionAddress(".efifw", "a", "b"), SectionAddress(".linux")])
def test_an_address_is_read_as_it_is_written(address):
    assert parse_address(str(address)) == address
