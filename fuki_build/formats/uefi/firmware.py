"""Recognising firmware payloads: an edk2 image with or without OVMF's GUID table, IGVM, a UEFI capsule."""

import re
from enum import StrEnum
from struct import Struct
from uuid import UUID

import msgspec

from fuki_build.errors import FormatError
from fuki_build.formats.confidential import igvm, ovmf
from fuki_build.formats.reader import Reader
from fuki_build.formats.uefi import volumes


class FirmwareKind(StrEnum):
    OVMF = "OVMF"
    EDK2 = "edk2"
    IGVM = "IGVM"
    CAPSULE = "UEFI capsule"
    VARIABLES = "UEFI variable store"
    UNKNOWN = "unknown"


class FirmwareSummary(msgspec.Struct, frozen=True):
    """A payload's kind, its features (SEV, TDX, IGVM metadata …), its version if it states one, and its flaw if any."""

    kind: FirmwareKind
    features: tuple[str, ...] = ()
    version: str | None = None
    flaw: str | None = None

    def __str__(self) -> str:
        words = [self.kind, self.version] if self.version else [self.kind]
        return " ".join(words) + (f" ({', '.join(self.features)})" if self.features else "")


_FILE_SYSTEMS = {
    volumes.FFS2: FirmwareKind.EDK2,
    volumes.FFS3: FirmwareKind.EDK2,
    volumes.VARIABLES: FirmwareKind.VARIABLES,
}
_CAPSULE = Struct("<16sIII")
_CAPSULES = {
    UUID("6dcbd5ed-e82d-4c44-bda1-7194199ad92a"): "firmware management protocol",
    UUID("4a3ca68b-7723-48fb-803d-578cc1fec44d"): "signed, edk2",
    UUID("3b6686bd-0d76-4030-b70e-b5519e2fc5a0"): "with a list of files",
}
_VERSION_REACH = 1024 * 1024
_VERSION = re.compile(
    rb"(?:edk2-stable\d{6}[\w.+~-]{0,40})|(?:\x00\x00(?:2\x000\x00\d\x00\d\x00\.\x00[01]\x00\d\x00(?:[\w.+~-]\x00){0,40})\x00\x00)"
)


def recognise(payload: Reader) -> FirmwareSummary:
    """Identify a payload. Reads a few KiB at both ends; never fails: damage becomes the `flaw`."""
    try:
        return (
            _capsule(payload)
            or _igvm(payload)
            or _ovmf(payload)
            or _edk2(payload)
            or FirmwareSummary(FirmwareKind.UNKNOWN)
        )
    except FormatError as error:
        return FirmwareSummary(FirmwareKind.UNKNOWN, flaw=error.message)


def _capsule(payload: Reader) -> FirmwareSummary | None:
    head = payload.read_at(0, _CAPSULE.size)
    if len(head) < _CAPSULE.size:
        return None

    guid, header_size, _, image_size = _CAPSULE.unpack(head)
    kind = _CAPSULES.get(UUID(bytes_le=guid))
    if kind is None:
        return None

    if not _CAPSULE.size <= header_size <= image_size <= payload.size:
        flaw = f"the capsule header claims {image_size} bytes, the payload has {payload.size}"
        return FirmwareSummary(FirmwareKind.CAPSULE, (kind,), flaw=flaw)
    return FirmwareSummary(FirmwareKind.CAPSULE, (kind,))


def _igvm(payload: Reader) -> FirmwareSummary | None:
    try:
        header = igvm.decode_header(payload.read_at(0, igvm.HEADER_SIZE))
    except FormatError as error:
        return FirmwareSummary(FirmwareKind.IGVM, flaw=error.message)
    if header is None:
        return None
    flaw = None
    if header.file_size > payload.size:
        flaw = f"the IGVM header claims {header.file_size} bytes, the payload has {payload.size}"
    return FirmwareSummary(FirmwareKind.IGVM, (f"version {header.version}",), flaw=flaw)


def _ovmf(payload: Reader) -> FirmwareSummary | None:
    image = ovmf.decode(payload)
    if image is None:
        return None

    features = []
    if image.sev is not None:
        features.append("SEV")
        if any(section.kind == ovmf.SevKind.KERNEL_HASHES for section in image.sev):
            features.append("kernel hashes")

    if image.tdx is not None:
        features.append("TDX")
    if ovmf.IGVM_METADATA in image.entries:
        features.append("IGVM")

    return FirmwareSummary(FirmwareKind.OVMF, tuple(features))


def _edk2(payload: Reader) -> FirmwareSummary | None:
    """A firmware volume at the start, or after ARM's reset code in the first 64 KiB."""
    head = payload.read_at(0, 64 * 1024)
    for at in range(0, len(head), volumes.STEP):
        volume = volumes.volume_at(head, at)
        kind = _FILE_SYSTEMS.get(volume.file_system) if volume else None
        if volume is not None and kind is not None:
            flaw = None if at + volume.size <= payload.size else f"its first volume claims {volume.size} bytes"
            return FirmwareSummary(kind, (), _version(payload), flaw)
    return None


def _version(payload: Reader) -> str | None:
    """edk2's PcdFirmwareVersionString, which ARM builds keep uncompressed near the start; x86 builds compress it."""
    match = _VERSION.search(payload.read_at(0, _VERSION_REACH))
    return match[0].replace(b"\0", b"").decode("ascii") if match else None
