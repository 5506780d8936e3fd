"""What firmware of virtual machines measures of itself into register 0, out of its file.

edk2's Tcg2Pei measures its build's version, then each volume that it finds, as they are in memory: that of the drivers
which run first (it is one of them), and that of all others. OVMF's SEC has decompressed both from one section; on ARM,
the first runs in place from flash, and the others are in it, compressed. (SecurityPkg/Tcg/Tcg2Pei/Tcg2Pei.c,
OvmfPkg/Sec/SecMain.c, ArmVirtPkg; the versions, and the volumes but OVMF's first, of Debian's builds of edk2 2022.11,
2025.02 and 2026.08 are those in the logs of guests.)
"""

import re
from uuid import UUID

from msgspec import Struct

from fuki_build.errors import FormatError
from fuki_build.formats.reader import Reader
from fuki_build.formats.uefi import volumes
from fuki_build.formats.uefi.firmware_files import SectionType, VolumeSection, files, sections
from fuki_build.formats.uefi.lzma_sections import MAX_SIZE, compressed, decompress

_TCG2_PEI = UUID("a0c98b77-cba5-4bb8-993b-4af6ce33ece4")
_TEXT = re.compile(rb"(?:[\x20-\x7e]\x00){2,100}\x00\x00")
"""What looks like text of a program; in Tcg2Pei there is none but the version."""
_VOLUMES = 2


class MeasuredFirmware(Struct, frozen=True):
    """What is measured: the version as UTF-16 with a NUL, only that if it is empty; and the volumes, as in the file.

    `in_flash` tells that the first one is not in memory, where its drivers could write into it.
    """

    version: bytes
    volumes: tuple[bytes, ...]
    in_flash: bool = False


def measured_firmware(image: bytes) -> MeasuredFirmware:
    """What the firmware of an image measures of itself. Raises `FormatError` where the file does not tell that."""
    flash = _in_flash(image)
    if flash is not None:
        return MeasuredFirmware(_version(flash), (flash,), in_flash=True)

    for data in compressed(image):
        contents = b"".join(decompress(data, MAX_SIZE))
        leading = _leading_sections(contents)
        measured = tuple(section.content for section in leading if section.type == SectionType.VOLUME)
        if len(measured) == _VOLUMES:
            return MeasuredFirmware(_version(measured[0]), measured)
    raise FormatError("it has no pair of compressed volumes, as OVMF has, and no driver that measures in flash")


def _in_flash(image: bytes) -> bytes | None:
    """The volume that has the driver which measures, where it is not compressed."""
    for volume in volumes.volumes(Reader.of(image)):
        content = image[volume.offset : volume.offset + volume.size]
        try:
            if any(file.name == _TCG2_PEI for file in files(content)):
                return content
        except FormatError:
            continue
    return None


def _leading_sections(data: bytes) -> list[VolumeSection]:
    try:
        return list(sections(data))
    except FormatError:
        return []


def _version(volume: bytes) -> bytes:
    if volumes.volume_at(volume, 0) is None:
        raise FormatError("its first section is no volume")

    for file in files(volume):
        if file.name == _TCG2_PEI:
            texts = [
                match[0]
                for section in sections(file.content)
                if section.type in (SectionType.TE, SectionType.PE32)
                for match in _TEXT.finditer(section.content)
            ]
            if len(texts) > 1:
                raise FormatError("it is not clear which of its texts is the version that it measures")
            return texts[0] if texts else b"\0\0"

    raise FormatError("it was built without support for a TPM")
