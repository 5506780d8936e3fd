"""Checks of the memory that is loaded into a guest before it starts: hostile firmware must not make it large."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from fuki_build.errors import FormatError, RecipeError
from fuki_build.hooks import DirectBoot, LaunchModel, LaunchNote, LaunchParameters

PAGE = 0x1000
TOP = 1 << 32
"""Firmware ends at this address."""
MAX_FIRMWARE = 64 * 1024 * 1024
MAX_LAUNCH = 128 * 1024 * 1024
"""Limit of bytes of guest memory that a launch may add; real firmware adds less than 8 MiB."""
MAX_VCPUS = 4096
_ADDRESSES = 1 << 52
"""Guests have no memory beyond this address."""


def check_parameters(parameters: LaunchParameters) -> None:
    """Raise `RecipeError` for numbers that no guest can have."""
    for count in parameters.vcpus:
        if not 1 <= count <= MAX_VCPUS:
            raise RecipeError(f"a guest has 1 to {MAX_VCPUS} vCPUs, not {count}")
    for features in parameters.guest_features:
        if not 0 <= features < 1 << 64:
            raise RecipeError(f"guest features have 64 bits, {features:#x} does not fit")


def unknown_vmms(model: LaunchModel, parameters: LaunchParameters) -> tuple[LaunchNote, ...]:
    """A note for each hypervisor that does not launch guests of this technology."""
    others = [vmm for vmm in parameters.vmms if vmm not in model.vmms]
    return tuple(LaunchNote(model.name, f"{vmm} launches no guests under {model.title}") for vmm in others)


def check_firmware(firmware: bytes) -> int:
    """The start address of firmware in the guest. Raises `FormatError` if it cannot be loaded."""
    if len(firmware) > MAX_FIRMWARE:
        raise FormatError(f"the firmware has {len(firmware)} bytes, more than the {MAX_FIRMWARE} that it may have")
    if len(firmware) % PAGE:
        raise FormatError(f"the firmware has {len(firmware)} bytes, which are no whole pages")
    return TOP - len(firmware)


def check_ranges(ranges: Iterable[tuple[str, int, int]]) -> None:
    """Check the ranges (name, address, size) that a launch adds: whole pages, none twice, and not too many.

    Raises `FormatError`. Hardware refuses to add a page twice.
    """
    added = list(ranges)
    check_apart(added)
    total = sum(size for _, _, size in added)
    if total > MAX_LAUNCH:
        raise FormatError(f"the launch would add {total:#x} bytes of memory, more than {MAX_LAUNCH:#x}")


def check_apart(ranges: Iterable[tuple[str, int, int]]) -> None:
    """Raise `FormatError` for ranges (name, address, size) that no guest can have, or that overlap."""
    ordered = sorted((address, size, name) for name, address, size in ranges if size)
    for address, size, name in ordered:
        check_range(name, address, size)

    for (address, size, name), (next_address, _, next_name) in pairwise(ordered):
        if address + size > next_address:
            raise FormatError(f"{name} and {next_name} overlap at {next_address:#x}")


def check_range(name: str, address: int, size: int) -> None:
    """Raise `FormatError` for memory that no guest can have."""
    if address % PAGE or size % PAGE:
        raise FormatError(f"{name} ({size:#x} bytes at {address:#x}) is not made of whole pages")
    if address + size > _ADDRESSES:
        raise FormatError(f"{name} ({size:#x} bytes at {address:#x}) lies beyond what a guest can address")


def boot_name(boot: DirectBoot | None) -> str | None:
    return None if boot is None else boot.name


def pages(content: bytes) -> Sequence[bytes]:
    return [content[at : at + PAGE] for at in range(0, len(content), PAGE)]
