"""A firmware image as plain values: the content of `fuki firmware show`."""

import hashlib
from collections import Counter

from fuki_build.errors import FormatError
from fuki_build.formats.confidential import igvm, ovmf
from fuki_build.formats.confidential.igvm import Igvm
from fuki_build.formats.confidential.ovmf import Ovmf
from fuki_build.formats.documents import Document, View
from fuki_build.formats.reader import Reader
from fuki_build.formats.uefi import firmware, secure_boot_support, volumes
from fuki_build.formats.uefi.firmware import FirmwareKind

_TOP = 1 << 32
_RESET_SIZE = 16


class EntryView(View, frozen=True):
    """An entry of OVMF's GUID table; `data` in hex."""

    guid: str
    name: str | None
    data: str


class MetadataView(View, frozen=True, kw_only=True):
    """A section of SEV, TDX or IGVM metadata; `offset` and `raw_size` are in the file, of TDX only."""

    kind: str
    address: int
    size: int
    offset: int | None = None
    raw_size: int | None = None
    attributes: int | None = None


class VolumeView(View, frozen=True):
    """A firmware volume; `address` is where it is in the guest's memory, of x86 firmware."""

    offset: int
    size: int
    address: int | None
    file_system: str


class PlatformView(View, frozen=True, kw_only=True):
    """What an IGVM file has for one platform: headers by their kind."""

    platform: str
    mask: int
    highest_vtl: int
    shared_gpa_boundary: int
    headers: dict[str, int]


class IgvmView(View, frozen=True):
    version: int
    arch: str
    platforms: tuple[PlatformView, ...]


class MissingFeature(View, frozen=True):
    """What the firmware is not good for, and why."""

    technology: str
    message: str


class FirmwareFileView(View, frozen=True, kw_only=True):
    """Everything that is known of one image; metadata that it does not have are None."""

    name: str
    kind: str
    version: str | None
    size: int
    sha256: str
    flaw: str | None
    reset_vector: str | None = None
    entries: tuple[EntryView, ...] = ()
    sev: tuple[MetadataView, ...] | None = None
    tdx: tuple[MetadataView, ...] | None = None
    igvm_metadata: tuple[MetadataView, ...] | None = None
    igvm: IgvmView | None = None
    volumes: tuple[VolumeView, ...] = ()
    missing: tuple[MissingFeature, ...] = ()


class FirmwareDocument(Document, frozen=True):
    """What `fuki firmware show --json` prints."""

    firmware: tuple[FirmwareFileView, ...]


def view_firmware(name: str, data: bytes) -> FirmwareFileView:
    """Describe an image in memory. Never fails: damage becomes the `flaw`."""
    reader = Reader.of(data)
    recognised = firmware.recognise(reader)
    flaw = recognised.flaw
    table: Ovmf | None = None
    file: Igvm | None = None
    try:
        file = igvm.decode(reader)
        table = ovmf.decode(reader) if file is None else None
    except FormatError as error:
        flaw = flaw or error.message

    return FirmwareFileView(
        name=name,
        kind=recognised.kind,
        version=recognised.version,
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        flaw=flaw,
        reset_vector=data[-_RESET_SIZE:].hex() if table else None,
        entries=_entries(table) if table else (),
        sev=_sev(table),
        tdx=_tdx(table),
        igvm_metadata=_igvm_metadata(table),
        igvm=_view_igvm(file) if file else None,
        volumes=_volumes(reader, x86=table is not None) if file is None else (),
        missing=tuple(_missing_of_igvm(file) if file else _missing(table, data))
        if recognised.kind is not FirmwareKind.UNKNOWN
        else (),
    )


def _entries(table: Ovmf) -> tuple[EntryView, ...]:
    return tuple(EntryView(str(guid), ovmf.ENTRY_NAMES.get(guid), data.hex()) for guid, data in table.entries.items())


def _sev(table: Ovmf | None) -> tuple[MetadataView, ...] | None:
    if table is None or table.sev is None:
        return None
    return tuple(
        MetadataView(kind=ovmf.kind_name(ovmf.SevKind, s.kind), address=s.address, size=s.size) for s in table.sev
    )


def _tdx(table: Ovmf | None) -> tuple[MetadataView, ...] | None:
    if table is None or table.tdx is None:
        return None
    return tuple(
        MetadataView(
            kind=ovmf.kind_name(ovmf.TdxKind, s.kind),
            address=s.address,
            size=s.memory_size,
            offset=s.offset,
            raw_size=s.raw_size,
            attributes=s.attributes,
        )
        for s in table.tdx
    )


def _igvm_metadata(table: Ovmf | None) -> tuple[MetadataView, ...] | None:
    if table is None or table.igvm is None:
        return None
    return tuple(
        MetadataView(kind=ovmf.kind_name(ovmf.IgvmKind, s.kind), address=s.address, size=s.size) for s in table.igvm
    )


def _volumes(reader: Reader, *, x86: bool) -> tuple[VolumeView, ...]:
    start = _TOP - reader.size
    return tuple(
        VolumeView(v.offset, v.size, start + v.offset if x86 else None, v.name) for v in volumes.volumes(reader)
    )


def _view_igvm(file: Igvm) -> IgvmView:
    views = []
    for platform in file.platforms:
        counts = Counter(type(directive).__name__ for directive in file.of(platform.mask))
        name = ovmf.kind_name(igvm.IgvmPlatform, platform.platform)
        headers = dict(sorted(counts.items()))
        views.append(
            PlatformView(
                platform=name,
                mask=platform.mask,
                highest_vtl=platform.highest_vtl,
                shared_gpa_boundary=platform.shared_gpa_boundary,
                headers=headers,
            ),
        )

    architecture = ovmf.kind_name(igvm.Architecture, file.header.architecture)
    return IgvmView(file.header.version, architecture, tuple(views))


def _missing_of_igvm(file: Igvm) -> list[MissingFeature]:
    supported = {platform.platform for platform in file.platforms}
    names = {igvm.IgvmPlatform.SEV_SNP: "AMD SEV-SNP", igvm.IgvmPlatform.TDX: "Intel TDX"}

    return [
        MissingFeature(name, "the file does not support this platform")
        for platform, name in names.items()
        if platform not in supported
    ]


def _missing(table: Ovmf | None, data: bytes) -> list[MissingFeature]:
    if table is None:
        return [MissingFeature("all", "no GUID table of OVMF: not made for SEV, SEV-ES, SEV-SNP or TDX guests")]
    missing = []

    if table.reset_address is None:
        missing.append(MissingFeature("AMD SEV-ES", "no SEV-ES reset block: other vCPUs than the first do not start"))

    if table.hash_table_address is None:
        missing.append(MissingFeature("AMD SEV", "no kernel hash table: a kernel that the hypervisor boots is refused"))

    if table.sev is None:
        missing.append(MissingFeature("AMD SEV-SNP", "no SEV metadata: not made for it"))
    elif not any(s.kind == ovmf.SevKind.KERNEL_HASHES and s.size for s in table.sev):
        missing.append(
            MissingFeature("AMD SEV-SNP", "no kernel-hashes page: a kernel that the hypervisor boots is refused")
        )

    if table.tdx is None:
        missing.append(MissingFeature("Intel TDX", "no TDX metadata: not made for it"))

    if not table.igvm:
        missing.append(MissingFeature("IGVM", "no IGVM metadata: an IGVM file of it has no place for a UKI"))
    elif secure_boot_support.takes_keys_through_igvm(data) is False:
        missing.append(MissingFeature("IGVM", "no driver for it: Secure Boot keys of an IGVM file are ignored"))
    if secure_boot_support.needs_system_management_mode(data):
        missing.append(
            MissingFeature("IGVM", "needs SMM and flash: a guest of an IGVM file that is not confidential hangs")
        )

    return missing
