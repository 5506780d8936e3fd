"""PCR 9: the kernel's input that the kernel itself measures: its options and the initrd.

Sources: Linux, drivers/firmware/efi/libstub (6.12 was booted); the stub's stub.c, initrd.c and cpio.c (262.1).
"""

from collections.abc import Iterator

from fuki_build.errors import FormatError
from fuki_build.formats.uki import cpio
from fuki_build.image.blob import Blob
from fuki_build.measure.boot import Boot, BootMethod
from fuki_build.measure.booted_profile import BootedProfile
from fuki_build.measure.cmdline import CommandLine, encode, usable_addons
from fuki_build.measure.events import Event, Measurer
from fuki_build.measure.registers import digests

PCR = 9
OPTIONS = "command line"
"""The source of the event for the kernel's options; all others are for the initrd."""
_EXTRA = (
    (".pcrsig", "tpm2-pcr-signature.json"),
    (".pcrpkey", "tpm2-pcr-public-key.pem"),
    (".osrel", "os-release"),
    (".profile", "profile"),
)
"""Sections that the stub adds to the initrd's /.extra, in the order in which their archives are joined."""
_LATE = (".osrel", ".profile")
_UNKNOWN = "the stub adds a secret of its own where the firmware is a source of randomness and the disk is a GPT disk"


def kernel_events(subject: BootedProfile, line: CommandLine, boot: Boot) -> Iterator[Event]:
    """The options, then the initrd."""
    description, source = "the kernel's options", OPTIONS
    if line.unknown:
        yield Event(
            pcr=PCR,
            type="EV_EVENT_TAG",
            what=description,
            source=source,
            by=Measurer.KERNEL,
            digests={},
            unknown=line.unknown,
        )
    elif line.text is not None:
        known = digests(encode(line.text), subject.contents.banks)
        yield Event(
            pcr=PCR,
            type="EV_EVENT_TAG",
            what=f"{description}: {line.text}",
            source=source,
            by=Measurer.KERNEL,
            digests=known,
        )

    yield from _initrd(subject, boot)


def _initrd(subject: BootedProfile, boot: Boot) -> Iterator[Event]:
    sections = [section for name in (".ucode", ".initrd") if (section := subject.find(name))]
    parts = [part for part in sections if part.name not in subject.model.unmeasured]
    description = "the initrd, as the stub joins it"

    if subject.model.adds_secret and boot.secret and boot.method is BootMethod.DISK:
        yield Event(
            pcr=PCR,
            type="EV_EVENT_TAG",
            what=description,
            source="initrd",
            by=Measurer.KERNEL,
            digests={},
            unknown=_UNKNOWN,
        )
        return

    try:
        more = [*_archives(subject), *_addons(subject, boot)]
    except FormatError as error:
        yield Event(
            pcr=PCR,
            type="EV_EVENT_TAG",
            what=description,
            source="initrd",
            by=Measurer.KERNEL,
            digests={},
            unknown=error.message,
        )
        return

    if not (parts or more):
        return

    joined = subject.contents.initrd_digests(parts, [content for _, content in more])
    source = " + ".join([*(part.name for part in parts), *(name for name, _ in more)])
    reason = "" if joined is not None else "its microcode is too large"
    yield Event(
        pcr=PCR,
        type="EV_EVENT_TAG",
        what=description,
        source=source,
        by=Measurer.KERNEL,
        digests=joined or {},
        unknown=reason,
    )


def _archives(subject: BootedProfile) -> Iterator[tuple[str, Blob]]:
    """The archives that the stub generates."""
    for section_name, name in _EXTRA:
        section = subject.find(section_name)
        if section is not None and (subject.model.passes_release or section_name not in _LATE):
            data = cpio.pack_literal(".extra", name, subject.contents.data(section), 0o555, 0o444)
            yield f"/.extra/{name}", Blob.of_bytes(data)


def _addons(subject: BootedProfile, boot: Boot) -> Iterator[tuple[str, Blob]]:
    """The addons' initrds. Raises `FormatError` for an addon's microcode, which would precede everything else."""
    for name, contents in usable_addons(subject, boot) if subject.model.archive_addons else ():
        if contents.layout.find(".ucode"):
            raise FormatError(f"the addon {name} puts microcode in front of it")
        for section in contents.layout.find(".initrd")[:1]:
            yield f"{name}'s .initrd", section.content
