"""What is launched: firmware of an image or a file, and what a hypervisor boots beside it."""

import hashlib
from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from fuki_build.errors import FormatError
from fuki_build.formats.pe import pe
from fuki_build.formats.pe.authenticode import digest_ranges, padding
from fuki_build.hooks.launch import DirectBoot, DirectBootMode
from fuki_build.image.blob import Blob
from fuki_build.image.firmware import slices
from fuki_build.image.layout import Layout
from fuki_build.image.profiles import profile_ids
from fuki_build.image.reading import blob_digest, read_pieces
from fuki_build.image.section import Section

MAX_CMDLINE = 1024 * 1024

Sha256 = Callable[[Section], bytes]
"""The digest of a section's content: read for that, or known already."""


class LaunchFirmware(Struct, frozen=True):
    """Firmware that guests start with: `name` is its fwid or file, `profile` its slice."""

    name: str
    profile: int | None
    content: Blob


class ProfileBoot(Struct, frozen=True):
    """A direct boot, and the profile whose it is; None where it is that of every profile."""

    profile: int | None
    boot: DirectBoot


def boots_of(subject: LaunchFirmware, boots: Sequence[ProfileBoot]) -> tuple[DirectBoot | None, ...]:
    """What is booted beside this firmware: a profile's own firmware starts no other profile."""
    own = [boot.boot for boot in boots if subject.profile is None or boot.profile in (None, subject.profile)]
    return tuple(own) or (None,)


def subjects(layout: Layout) -> Iterator[LaunchFirmware]:
    """The firmware images of an image, base first."""
    for part in slices(layout.plain_sections):
        for image in part.firmware:
            if image.header is not None:
                yield LaunchFirmware(image.header.fwid, part.profile, image.payload)


def section_boots(layout: Layout, sha256: Sha256) -> Iterator[ProfileBoot]:
    """For each profile, the kernel, initrd and command line that a hypervisor would hand over itself."""
    ids = profile_ids(layout)
    empty = hashlib.sha256().digest()
    for number in layout.profiles or (None,):
        sections = {section.name: section for section in layout.effective(number)}
        if ".linux" not in sections:
            continue

        kernel, initrd, cmdline = sections[".linux"], sections.get(".initrd"), sections.get(".cmdline")
        text = cmdline.content.read_small(MAX_CMDLINE, "the command line") if cmdline else b""
        yield ProfileBoot(
            number,
            DirectBoot(
                name="sections" if number is None else ids.get(number) or str(number),
                kernel=sha256(kernel),
                initrd=sha256(initrd) if initrd else empty,
                cmdline=cmdline_digest(text),
                authenticode=authenticode(kernel.content),
            ),
        )


def image_boot(image: Blob) -> ProfileBoot:
    """The direct boot of a whole UKI: it is the kernel, and brings the rest itself."""
    return ProfileBoot(None, file_boot(DirectBootMode.IMAGE, image, None, b""))


def file_boot(name: str, kernel: Blob, initrd: Blob | None, cmdline: bytes) -> DirectBoot:
    """The direct boot of files."""
    return DirectBoot(
        name=name,
        kernel=blob_digest(kernel),
        initrd=blob_digest(initrd or Blob()),
        cmdline=cmdline_digest(cmdline),
        authenticode=authenticode(kernel),
    )


def section_digest(section: Section) -> bytes:
    return blob_digest(section.content)


def cmdline_digest(text: bytes) -> bytes:
    """Of a command line as hypervisors hash it: with one NUL behind it."""
    return hashlib.sha256(text.rstrip(b"\0") + b"\0").digest()


def authenticode(content: Blob) -> bytes | None:
    """The SHA-384 Authenticode digest of a kernel; None where it is no EFI image."""
    try:
        ranges = digest_ranges(pe.decode(content.read_at(0, pe.HEAD_SIZE), content.size), content.size)
    except FormatError:
        return None
    digest = hashlib.sha384()
    for start, end in ranges:
        for piece in read_pieces(content.slice(start, end - start)):
            digest.update(piece)
    digest.update(padding(ranges[-1][1]))
    return digest.digest()
