"""What is expected of a guest on a host that takes firmware: which firmware each start is on, and what it measures."""

from pathlib import Path

from fuki_build import Layout, Machine, Prediction, before_stub, igvm_payloads, inspect, predict_boot, read_boot
from fuki_build.formats.reader import Reader
from fuki_build.formats.uefi import secure_boot_support, variable_store
from msgspec import Struct

from fuki_qemu.host import parts
from fuki_qemu.host.cycle import CycleSettings
from fuki_qemu.host.launch_update import can_be_parsed

HAND_OVER_SECTION = ".fuki"
HOST = "the host's"
"""Stands for a firmware that no image brought, where others are told by their fwid."""


class ExpectedStart(Struct, frozen=True):
    """A start as it is expected: `firmware` is a fwid, or `HOST`; `layout` the image that starts then."""

    firmware: str
    layout: Layout
    prediction: Prediction


class BootConditions(Struct, frozen=True, kw_only=True):
    """What beside image and firmware decides what a guest measures."""

    machine: Machine
    profile: int | None
    direct: bool
    options: str | None
    console: str
    addons: tuple[Path, ...]
    banks: tuple[str, ...]


def expect(
    layout: Layout, conditions: BootConditions, settings: CycleSettings, place: Path
) -> tuple[ExpectedStart, ...]:
    """The starts of a guest whose host and image do what they are to do. Raises `FukiError`."""
    last = _predict(layout, conditions, settings, settings.host_file, place)
    fwid = last.case.firmware
    payload = igvm_payloads(layout, conditions.profile).get(fwid) if fwid else None
    if payload is not None and not can_be_parsed(payload):
        payload = None

    if fwid is None or payload is None or not layout.find(HAND_OVER_SECTION):
        return (ExpectedStart(HOST, layout, last),)
    if parts.rom_of(payload, settings.memory) == parts.rom_of(settings.host_file, settings.memory):
        return (ExpectedStart(fwid, layout, last),)

    first = ExpectedStart(HOST, layout, before_stub(last))
    carried = parts.carried_kernel(payload, settings.memory)
    if carried is None:
        return first, ExpectedStart(fwid, layout, _predict(layout, conditions, settings, payload, place))

    path = place / "carried.efi"
    path.write_bytes(carried)
    inner = inspect(path)
    # The firmware takes what its file carries as it takes QEMU's -kernel, and looks at no disk.
    without_disk = BootConditions(
        machine=conditions.machine,
        profile=None,
        direct=True,
        options=None,
        console=conditions.console,
        addons=(),
        banks=conditions.banks,
    )
    return first, ExpectedStart(fwid, inner, _predict(inner, without_disk, settings, payload, place))


def _predict(
    layout: Layout, conditions: BootConditions, settings: CycleSettings, file: bytes, place: Path
) -> Prediction:
    """What the image measures where firmware of a file starts it; without a disk's partition table, so no secret."""
    rom = parts.rom_of(file, settings.memory)
    store = None
    if variable_store.decode(Reader.of(rom)) is not None:
        store = place / "expected.fd"
        store.write_bytes(rom)

    how = read_boot(
        conditions.banks,
        direct=conditions.direct,
        options=conditions.options,
        console=conditions.console,
        secure_boot="absent" if secure_boot_support.enforces_secure_boot(rom) is False else None,
        variables=store,
        no_boot_secret=True,
        addons=conditions.addons,
    )
    return predict_boot(layout, conditions.machine, conditions.profile, how, conditions.banks)


def running_firmware(
    layout: Layout, profile: int | None, settings: CycleSettings, below_4g: bytes, expected: str | None
) -> str | None:
    """Which firmware is in a guest's memory below 4 GiB: a fwid of the image, or `HOST`; None for neither.

    Of several names for one firmware, the expected one.
    """
    files = {HOST: settings.host_file, **igvm_payloads(layout, profile)}
    for name in sorted(files, key=lambda name: name != expected):
        if parts.is_running(files[name], settings.memory, below_4g):
            return name
    return None
