"""A hint can be followed: what it says makes the error go away."""

import sys
from pathlib import Path

import pytest

from fuki_build.testing import invoke, refused, succeed
from tests.conftest import RECIPE
from tests.support.workshop import workshop_recipe


@pytest.fixture
def without_codecs(monkeypatch):
    """As where the extra `kernels` is not installed, and Python was built without libraries for compression."""
    for name in ("backports.zstd", "compression.zstd", "lzma", "bz2", "lz4.frame", "lz4.block"):
        monkeypatch.setitem(sys.modules, name, None)


PACKED_WITH_PACKAGES = [b"\x04\x22\x4d\x18", b"\x02\x21\x4c\x18"]
PACKED_WITH_PYTHON = [b"BZh", b"\xfd7zXZ\0", b"\x5d\0\0"]
(PACKED_WITH_PYTHON if sys.version_info >= (3, 14) else PACKED_WITH_PACKAGES).append(b"\x28\xb5\x2f\xfd")


@pytest.mark.usefixtures("without_codecs")
@pytest.mark.parametrize("magic", PACKED_WITH_PACKAGES)
def test_a_kernel_packed_as_a_whole_is_not_helped_by_its_release(workshop, magic):
    (workshop / "packed").write_bytes(magic + bytes(64))
    for text in (RECIPE, RECIPE.replace("cmdline =", 'uname = "6.1"\ncmdline =')):
        (workshop / "fuki.toml").write_text(text.replace('"vmlinuz"', '"packed"'))
        error = refused(workshop, "plan", code=2)
        assert "fuki-build[kernels]" in error
        assert "uname" not in error


@pytest.mark.usefixtures("without_codecs")
@pytest.mark.parametrize("magic", PACKED_WITH_PYTHON)
def test_a_kernel_that_this_python_was_built_without_is_not_helped_by_a_package(workshop, magic):
    (workshop / "packed").write_bytes(magic + bytes(64))
    (workshop / "fuki.toml").write_text(RECIPE.replace('"vmlinuz"', '"packed"'))
    error = refused(workshop, "plan", code=2)
    assert "which this Python was built without" in error
    assert "fuki-build[kernels]" not in error


def test_a_kernel_whose_release_cannot_be_read_is_helped_by_giving_it(workshop):
    kernel = bytearray(64)
    kernel[:6] = b"\x7fELF\x01\x01"
    (workshop / "kernel.elf").write_bytes(bytes(kernel))
    (workshop / "fuki.toml").write_text(workshop_recipe(linux="kernel.elf"))
    assert 'give the release with uname = "…"' in refused(workshop, "plan")
    (workshop / "fuki.toml").write_text(workshop_recipe(linux="kernel.elf", uname="6.1"))
    assert "release" not in invoke(workshop, "plan").err


def test_the_stub_of_debian_12_builds_with_the_component_that_the_hint_gives(workshop, part):
    (workshop / "stub").unlink()
    (workshop / "stub").symlink_to(part("stub-252-x64"))
    error = invoke(workshop, "check").err
    assert "[sbat-size]" in error
    component = error.partition("in [fuki.image]: ")[2].splitlines()[0]
    assert component.startswith("sbat = [")
    (workshop / "fuki.toml").write_text(RECIPE.replace("cmdline =", f"{component}\ncmdline ="))
    succeed(workshop, "build", "-o", "a.efi")


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ('sections = { ".linux" = "initrd.img" }', 'fuki.image.sections.".linux"'),
        ('sections = { ".odd" = { text = "{{ nothing }}" } }', 'fuki.image.sections.".odd".text'),
    ],
)
def test_a_place_is_written_as_the_recipe_has_it(workshop, line, place):
    (workshop / "fuki.toml").write_text(RECIPE.replace("cmdline =", f"{line}\ncmdline ="))
    assert f"error: {place}: " in refused(workshop, "plan")


def test_registers_to_compare_with_are_named_by_their_file(tmp_path):
    (tmp_path / "values").write_text("nonsense\n")
    (tmp_path / "large").write_text("x" * 70000)
    log = next((Path(__file__).parents[1] / "data").rglob("*.log"))
    for name in ("values", "large"):
        assert f"--expect: {name}: " in refused(tmp_path, "replay", log, "--expect", name)
