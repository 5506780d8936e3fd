"""What a launch may have been made of: firmware in each of its forms, and what was perhaps booted directly."""

import hashlib
from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import product
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from fuki_build.errors import FormatError
from fuki_build.formats.confidential import igvm
from fuki_build.hooks.launch import DirectBoot, DirectBootMode
from fuki_build.image.blob import Blob
from fuki_build.image.inspect import inspect
from fuki_build.image.layout import Layout
from fuki_build.image.section import Section
from fuki_build.image.unwrapping import unwrap
from fuki_build.image.wrapping import WrapSettings, wrap
from fuki_build.launch.boots import (
    MAX_CMDLINE,
    LaunchFirmware,
    cmdline_digest,
    image_boot,
    section_boots,
    section_digest,
    subjects,
)

_MAX_BOOTS = 96
"""Limit of direct boots that are tried: those of one profile come first, then those mixed of fewest."""

_MAX_MIXED = 12
"""Limit of sources whose parts are mixed."""


class FirmwareForm(StrEnum):
    """What was done to firmware before it is launched."""

    GIVEN = "as it is"
    UNWRAPPED = "taken out of its IGVM file"
    WRAPPED = "wrapped as an IGVM file"


class SearchedFirmware(Struct, frozen=True, kw_only=True):
    """Firmware that may have been launched; `file` is the image or file that it is in."""

    file: str
    firmware: LaunchFirmware
    form: FirmwareForm


class SearchedBoot(Struct, frozen=True, kw_only=True):
    """A direct boot that may have been done; `mode` tells what it boots, None where it is mixed of several."""

    boot: DirectBoot | None
    mode: DirectBootMode | None


class BootParts(Struct, frozen=True, kw_only=True):
    """What one source gives for a direct boot: digests of kernel and initrd, and the command line as text.

    `mode` is None for files beside the images.
    """

    source: str
    mode: DirectBootMode | None
    boot: DirectBoot
    cmdline: bytes


def searched_firmware(file: Path) -> Iterator[SearchedFirmware]:
    """The firmware in a UKI, or in a file, as it is, and as the other of a bare image and an IGVM file."""
    content = Blob.of_file(file)
    is_image = content.read_at(0, 2) == b"MZ"
    own = list(subjects(inspect(file))) if is_image else [LaunchFirmware(file.name, None, content)]
    for firmware in own:
        yield SearchedFirmware(file=file.name, firmware=firmware, form=FirmwareForm.GIVEN)
        other = _other_form(firmware.content)
        if other is not None:
            form, blob = other
            yield SearchedFirmware(file=file.name, firmware=replace(firmware, content=blob), form=form)


def _other_form(content: Blob) -> tuple[FirmwareForm, Blob] | None:
    try:
        if igvm.decode_header(content.read_at(0, igvm.HEADER_SIZE)):
            unwrapped = unwrap(content)
            return None if unwrapped is None else (FirmwareForm.UNWRAPPED, unwrapped.firmware)
        return FirmwareForm.WRAPPED, wrap(content, WrapSettings(platforms=(igvm.IgvmPlatform.SEV_SNP,)))
    except FormatError:
        return None


def image_parts(file: Path) -> Iterator[BootParts]:
    """What each profile of a UKI gives for a direct boot, and the UKI as a whole. Reads it; none of other files."""
    if Blob.of_file(file).read_at(0, 2) != b"MZ":
        return
    layout = inspect(file)
    digests: dict[int, bytes] = {}

    def sha256(section: Section) -> bytes:
        if section.index not in digests:
            digests[section.index] = section_digest(section)
        return digests[section.index]

    for boot in section_boots(layout, sha256):
        name = file.name if boot.profile is None else f"{file.name}@{boot.profile}"
        text = _cmdline(layout, boot.profile)
        yield BootParts(source=name, mode=DirectBootMode.SECTIONS, boot=replace(boot.boot, name=name), cmdline=text)
    whole = image_boot(Blob.of_file(file)).boot
    named = replace(whole, name=f"{file.name} as the kernel")
    yield BootParts(source=named.name, mode=DirectBootMode.IMAGE, boot=named, cmdline=b"")


def _cmdline(layout: Layout, profile: int | None) -> bytes:
    section = layout.effective_section(".cmdline", profile)
    return section.content.read_small(MAX_CMDLINE, "the command line") if section is not None else b""


class _Part(NamedTuple):
    """A part of a direct boot, and where it is from; `odd` is 1 where it is not what its source has."""

    source: str
    digest: bytes
    authenticode: bytes | None = None
    odd: int = 0


def searched_boots(sources: Sequence[BootParts], texts: Sequence[str] = ()) -> tuple[SearchedBoot, ...]:
    """No direct boot, that of each source, then those mixed of several, or with a part left out.

    `texts` are further command lines.
    """
    boots: dict[tuple[bytes, bytes, bytes], SearchedBoot] = {}
    for parts in sources:
        boots.setdefault(_key(parts.boot), SearchedBoot(boot=parts.boot, mode=parts.mode))

    some = sources[:_MAX_MIXED]
    mixed: list[tuple[int, DirectBoot]] = []
    for kernel, initrd, cmdline in product(_kernels(some), _initrds(some), _cmdlines(some, texts[:_MAX_MIXED])):
        boot = DirectBoot(
            name=_name(kernel, initrd, cmdline),
            kernel=kernel.digest,
            initrd=initrd.digest,
            cmdline=cmdline.digest,
            authenticode=kernel.authenticode,
        )
        of_sources = len({part.source for part in (kernel, initrd, cmdline)})
        mixed.append((of_sources + initrd.odd + cmdline.odd, boot))

    for _, boot in sorted(mixed, key=lambda item: item[0]):
        boots.setdefault(_key(boot), SearchedBoot(boot=boot, mode=None))
    return (SearchedBoot(boot=None, mode=DirectBootMode.NONE), *list(boots.values())[:_MAX_BOOTS])


def _key(boot: DirectBoot) -> tuple[bytes, bytes, bytes]:
    return boot.kernel, boot.initrd, boot.cmdline


def _kernels(sources: Sequence[BootParts]) -> list[_Part]:
    return [_Part(parts.source, parts.boot.kernel, parts.boot.authenticode) for parts in sources]


def _initrds(sources: Sequence[BootParts]) -> list[_Part]:
    none = _Part("none", hashlib.sha256().digest(), odd=1)
    return [*(_Part(parts.source, parts.boot.initrd) for parts in sources if not _is_whole(parts)), none]


def _cmdlines(sources: Sequence[BootParts], texts: Sequence[str]) -> Iterator[_Part]:
    """Those of the sources; as they are passed on with or without the end of a line; and an empty one."""
    yield from (_Part(repr(text), cmdline_digest(text.encode())) for text in texts)
    own = [parts for parts in sources if not _is_whole(parts)]
    for parts in own:
        yield _Part(parts.source, parts.boot.cmdline)
    for parts in own:
        bare = parts.cmdline.rstrip(b"\0").rstrip()
        for words, text in (("without spaces at its end", bare), ("with the end of a line", bare + b"\n")):
            yield _Part(f"{parts.source} {words}", cmdline_digest(text), odd=1)
    yield _Part("none", cmdline_digest(b""), odd=1)


def _is_whole(parts: BootParts) -> bool:
    """Whether it is an image as the kernel, which brings neither initrd nor command line."""
    return parts.mode is DirectBootMode.IMAGE


def _name(kernel: _Part, initrd: _Part, cmdline: _Part) -> str:
    return f"kernel of {kernel.source}, initrd of {initrd.source}, command line of {cmdline.source}"
