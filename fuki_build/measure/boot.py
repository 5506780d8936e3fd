"""How an image is started: everything besides the image itself that decides what is measured."""

from enum import StrEnum
from operator import attrgetter

from msgspec import Struct

from fuki_build.image.assembly import Assembly
from fuki_build.image.layout import Layout
from fuki_build.measure.events import Event
from fuki_build.measure.pcr7 import SecureBootPolicy


class BootMethod(StrEnum):
    """How the firmware obtains the image."""

    DISK = "disk"
    """Through a boot option, from a file system."""
    DIRECT = "direct"
    """From the hypervisor, as with QEMU's -kernel: the firmware loads it before it announces that it boots."""


class Addon(Struct, frozen=True):
    """An addon of the image, by its file's name, with its layout and digests."""

    name: str
    layout: Layout
    assembly: Assembly


class Boot(Struct, frozen=True, kw_only=True):
    """The known circumstances of a boot.

    `secret` tells whether the stub may find a source of randomness and a GPT disk, from which it makes a secret of the
    machine that cannot be predicted. `console` is the text that it appends to a command line without `console=`: None
    where that is unknown, empty for nothing. `options` is the command line that the boot loader passes, without a
    profile's `@1`; `smbios` is added by the hypervisor through `io.systemd.stub.kernel-cmdline-extra=`. `loaders` are
    EFI programs that start before the image, such as shim and a boot menu. `global_addons` are stored beside the boot
    loader, `addons` are the image's own. `policy` is the machine's Secure Boot configuration, where known. `partitions`
    is the partition table of the disk as firmware measures it, empty for a disk without one; None where it is unknown.
    `firmware` is what the machine's firmware measures of itself, in the banks of the prediction, `configuration` what
    that of a TDX guest measures first into RTMR0; empty where that is unknown.
    """

    method: BootMethod = BootMethod.DISK
    options: str | None = None
    smbios: str | None = None
    secure_boot: bool = False
    shim: bool = False
    secret: bool = True
    console: str | None = None
    loaders: tuple[Addon, ...] = ()
    global_addons: tuple[Addon, ...] = ()
    addons: tuple[Addon, ...] = ()
    policy: SecureBootPolicy | None = None
    partitions: bytes | None = None
    firmware: tuple[Event, ...] = ()
    configuration: tuple[Event, ...] = ()

    @property
    def loaded_addons(self) -> tuple[Addon, ...]:
        """All addons in the order in which the stub loads them: it sorts each directory by name, which is ASCII."""
        groups = (self.global_addons, self.addons)
        return tuple(addon for group in groups for addon in sorted(group, key=attrgetter("name")))
