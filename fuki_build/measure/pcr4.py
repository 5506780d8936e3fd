"""PCR 4: the EFI programs that firmware loads.

Sources: TCG, "PC Client Platform Firmware Profile" 1.06, 3.3.4.5 and 10.4; edk2's DxeTpm2MeasureBootLib and
QemuLoadImageLib; the stub's linux.c.
"""

from collections.abc import Iterator

from fuki_build.measure.boot import Boot, BootMethod
from fuki_build.measure.booted_profile import BootedProfile
from fuki_build.measure.events import CONSTANT, Event, Measurer
from fuki_build.measure.registers import Digests, digests
from fuki_build.measure.section_digests import SectionDigests

PCR = 4
APPLICATION = "EV_EFI_BOOT_SERVICES_APPLICATION"
IMAGE = "the image"
"""The source of the image's own event."""
CALLING = b"Calling EFI Application from Boot Option"


def start_events(subject: BootedProfile, boot: Boot) -> Iterator[Event]:
    """The events from the firmware's announcement that it boots to the image's start."""
    announcement = _announcement(subject.contents.banks)
    outer = _program(subject.contents, "the image", IMAGE)
    if boot.method is BootMethod.DIRECT:
        yield outer
        yield from announcement
    else:
        yield from announcement
        for loader in boot.loaders:
            contents = SectionDigests(loader.layout, loader.assembly, subject.contents.banks)
            yield _program(contents, f"the program {loader.name}", loader.name)
        yield outer


def addon_events(subject: BootedProfile, boot: Boot) -> Iterator[Event]:
    """Addons: the stub has the firmware load every one, even one that it then skips."""
    for addon in boot.loaded_addons if subject.model.addons else ():
        contents = SectionDigests(addon.layout, addon.assembly, subject.contents.banks)
        yield _program(contents, f"the addon {addon.name}", addon.name)


def _announcement(banks: tuple[str, ...]) -> list[Event]:
    return [
        Event(
            pcr=PCR,
            type="EV_EFI_ACTION",
            what=CALLING.decode(),
            source=CONSTANT,
            by=Measurer.FIRMWARE,
            digests=digests(CALLING, banks),
        ),
        Event(
            pcr=PCR,
            type="EV_SEPARATOR",
            what="the firmware's part ends",
            source=CONSTANT,
            by=Measurer.FIRMWARE,
            digests=digests(bytes(4), banks),
        ),
    ]


def _program(contents: SectionDigests, description: str, source: str) -> Event:
    return Event(
        pcr=PCR,
        type=APPLICATION,
        what=description,
        source=source,
        by=Measurer.FIRMWARE,
        digests=contents.image_digests(),
    )


def kernel_events(subject: BootedProfile, boot: Boot) -> Iterator[Event]:
    """The embedded kernel, where the stub has the firmware load it."""
    kernel = subject.find(".linux")
    if kernel is None or (subject.model.loads_kernel and not (boot.shim and boot.secure_boot)):
        return

    known: Digests | None = subject.contents.kernel_digests(kernel)
    description = "the kernel in .linux"
    if known is None:
        reason = "it is no EFI executable, or signed and larger in memory than in the file"
        yield Event(
            pcr=PCR,
            type=APPLICATION,
            what=description,
            source=".linux",
            by=Measurer.FIRMWARE,
            digests={},
            unknown=reason,
        )
    else:
        yield Event(pcr=PCR, type=APPLICATION, what=description, source=".linux", by=Measurer.FIRMWARE, digests=known)
