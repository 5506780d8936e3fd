"""What is to be booted, and how."""

from pathlib import Path

from fuki_build import Machine
from msgspec import Struct

from fuki_qemu.guest import Screen
from fuki_qemu.host.choice import Host


class BootRequest(Struct, frozen=True, kw_only=True):
    """An image, and the guest that boots it. `machine` None is QEMU's own; `keys` switch Secure Boot on.

    `kvm` None means to use KVM where that works.
    """

    image: Path
    machine: Machine | None = None
    profile: str | None = None
    options: str | None = None
    addons: tuple[Path, ...] = ()
    direct: bool = False
    host: Host | None = None
    firmware: Path | None = None
    variables: Path | None = None
    keys: Path | None = None
    memory: str = "1G"
    kvm: bool | None = None
    verify: bool = False
    timeout: float | None = None
    screen: Screen = Screen.FILTERED
