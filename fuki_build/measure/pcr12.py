"""PCR 12: input that is not part of the image but configures the kernel (stub.c, tpm2-pcr.h, 262.1)."""

from collections.abc import Iterator

from fuki_build.measure.boot import Boot
from fuki_build.measure.booted_profile import BootedProfile
from fuki_build.measure.cmdline import CommandLine, encode, usable_addons
from fuki_build.measure.events import Event, Measurer
from fuki_build.measure.registers import digests
from fuki_build.measure.section_digests import SectionDigests

PCR = 12
PASSED = "passed options"
FROM_SMBIOS = "options from SMBIOS"
"""The sources of options that others pass to the image."""


def profile_events(subject: BootedProfile) -> Iterator[Event]:
    """The number of the profile, except for the first."""
    if subject.model.profiles and subject.profile:
        number = digests(encode(str(subject.profile)), subject.contents.banks)
        yield Event(
            pcr=PCR,
            type="EV_EVENT_TAG",
            what=f"the profile's number {subject.profile}",
            source="boot option",
            by=Measurer.STUB,
            digests=number,
        )


def passed_events(subject: BootedProfile, line: CommandLine) -> Iterator[Event]:
    """The options that the boot loader passes."""
    if line.options is not None:
        yield _options(subject, PASSED, line.options)


def added_events(subject: BootedProfile, line: CommandLine, boot: Boot) -> Iterator[Event]:
    """Options from addons and the hypervisor, then other content of addons."""
    if line.addons_unknown:
        yield Event(
            pcr=PCR,
            type="EV_IPL",
            what="what addons add",
            source="addons",
            by=Measurer.STUB,
            digests={},
            unknown=line.addons_unknown,
        )

    for names, text in line.addons:
        yield _options(subject, f"options of addons ({names})", text)

    if line.smbios is not None:
        yield _options(subject, FROM_SMBIOS, line.smbios)
    if not line.addons_unknown:
        yield from _addons(subject, boot)


def _options(subject: BootedProfile, source: str, text: str) -> Event:
    return Event(
        pcr=PCR,
        type="EV_IPL",
        what=f"{source}: {text}",
        source=source,
        by=Measurer.STUB,
        digests=digests(encode(text), subject.contents.banks),
    )


def _addons(subject: BootedProfile, boot: Boot) -> Iterator[Event]:
    """Devicetrees, then microcode from the last addon to the first, then initrds."""
    model = subject.model
    addons = list(usable_addons(subject, boot))
    if model.joins_addons:
        for name, contents in addons:
            # If an addon has both, the stub takes .dtbauto, without matching it against the machine.
            yield from _contents(name, contents, (".dtbauto", ".dtb"))
    if model.archive_addons:
        for name, contents in reversed(addons):
            yield from _contents(name, contents, (".ucode",))
        for name, contents in addons:
            yield from _contents(name, contents, (".initrd",))


def _contents(name: str, contents: SectionDigests, kinds: tuple[str, ...]) -> Iterator[Event]:
    section = next((s for kind in kinds for s in contents.layout.find(kind)[:1] if s.content.size), None)
    if section is not None:
        yield Event(
            pcr=PCR,
            type="EV_EVENT_TAG",
            what=f"{section.name} of the addon {name}",
            source=name,
            by=Measurer.STUB,
            digests=contents.digests(section),
        )
