"""An EFI system partition with an image, as a file."""

from collections.abc import Mapping
from pathlib import Path

from fuki_build import programs
from fuki_build.errors import FukiError

LOADER = "EFI/BOOT/BOOTX64.EFI"
"""What firmware starts from a removable disk (UEFI 2.10, 3.5.1.1)."""
_SMALLEST = 34 * 1024 * 1024
"""Bytes below which mformat makes no FAT32."""
_SPARE = 8 * 1024 * 1024


def write(path: Path, image: Path, addons: Mapping[str, Path]) -> None:
    """Make a FAT32 file system without a partition table at `path`, with the image and addons by file name.

    Raises `FukiError`.
    """
    size = image.stat().st_size + sum(addon.stat().st_size for addon in addons.values())
    with path.open("wb") as file:
        file.truncate(max(_SMALLEST, size + size // 64 + _SPARE))
    _run("mformat", "-i", path, "-F", "::")
    directory = f"::/{LOADER}.extra.d"
    _run("mmd", "-i", path, "::/EFI", "::/EFI/BOOT", *([directory] if addons else []))
    _run("mcopy", "-i", path, image, f"::/{LOADER}")
    for name, addon in addons.items():
        _run("mcopy", "-i", path, addon, f"{directory}/{name}")


def _run(*command: object) -> None:
    done = programs.run([str(word) for word in command], environment=programs.environment("TMPDIR"))
    if done.code:
        raise FukiError(f"{command[0]} failed: {done.last_lines(3) or done.how}")
