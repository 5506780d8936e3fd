"""A layout as plain, typed values: the form that `--json`, manifests, templates and tables show."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from uuid import UUID

from fuki_build.errors import FormatError
from fuki_build.formats.documents import Document, View
from fuki_build.formats.pe import authenticode, pe
from fuki_build.formats.pe.authenticode import WinCertificate
from fuki_build.formats.uki import compression
from fuki_build.formats.uki.hwids import DeviceType, group
from fuki_build.hardware.chid import stub_chids
from fuki_build.hardware.machine import Machine
from fuki_build.image.assembly import Assembly
from fuki_build.image.firmware import FirmwareImage, Slice, read_compatible, read_hardware_table, slices
from fuki_build.image.image import ImageKind
from fuki_build.image.layout import Layout, PlacedSection
from fuki_build.image.profiles import profiles, read_assignments
from fuki_build.image.section import Origin, Section, measured
from fuki_build.image.signatures import certificates, read_certificate

_MAX_TEXT = 64 * 1024


class SectionView(View, frozen=True, kw_only=True):
    """Addresses, offsets and sizes in bytes; `profile` is null in the base; `sha256` is null if not computed."""

    name: str
    profile: int | None
    address: int
    offset: int
    size: int
    raw_size: int
    share: float
    source: str
    what: str
    measured: str
    sha256: str | None = None


class FirmwareView(View, frozen=True, kw_only=True):
    profile: int | None
    fwid: str | None
    kind: str
    features: tuple[str, ...]
    version: str | None
    size: int
    chids: tuple[str, ...]
    flaw: str | None


class DeviceView(View, frozen=True, kw_only=True):
    """`present` tells whether the image contains the firmware or devicetree that the ids select.

    Firmware is selected by its `fwid`, a devicetree by its `compatible` string; the other of the two is null.
    `types` are the CHID types of the ids, in their order, where the machines are known; else null.
    """

    profile: int | None
    type: str
    name: str
    fwid: str | None
    compatible: str | None
    chids: tuple[str, ...]
    types: tuple[int | None, ...]
    present: bool


class ProfileView(View, frozen=True):
    number: int
    id: str | None
    title: str | None


class SignatureView(View, frozen=True, kw_only=True):
    """`signer` is the subject of its certificate; null, like `algorithm`, where the signature cannot be read."""

    offset: int
    size: int
    authenticode: bool
    signer: str | None = None
    algorithm: str | None = None


class StubView(View, frozen=True):
    program: str
    version: str


class LayoutView(Document, frozen=True, kw_only=True):
    """An image; `arch` is the architecture that it runs on, in the words of EFI: `x64`, `aa64`."""

    kind: str
    name: str
    arch: str
    stub: StubView | None
    file_size: int
    header_slots_left: int
    profiles: tuple[ProfileView, ...]
    sections: tuple[SectionView, ...]
    firmware: tuple[FirmwareView, ...]
    devices: tuple[DeviceView, ...]
    sbat: tuple[str, ...]
    signatures: tuple[SignatureView, ...]
    flaws: tuple[str, ...] = ()
    authenticode: str | None = None


def describe(layout: Layout, assembly: Assembly | None = None, machines: Sequence[Machine] = ()) -> LayoutView:
    """Describe a layout, reading headers and small sections only.

    `assembly` provides digests, if they were computed; `machines` provide the types of their hardware ids.
    """
    digests = assembly.sections if assembly else None

    types: dict[UUID, int] = {}
    for machine in machines:
        for kind, chid in stub_chids(machine).items():
            types.setdefault(chid, kind)

    parts = slices(layout.plain_sections)
    images = {image.section.index: image for part in parts for image in part.firmware}

    signatures, flaws = _signatures(layout)
    return LayoutView(
        kind=layout.kind.value,
        name=layout.name,
        arch=layout.machine,
        stub=stub_view(layout),
        file_size=layout.file_size,
        header_slots_left=layout.headers.free_slots,
        profiles=tuple(ProfileView(profile.number, profile.id, profile.title) for profile in profiles(layout)),
        sections=tuple(
            _section(layout, placed, images.get(i), digests[i] if digests else None)
            for i, placed in enumerate(layout.sections)
        ),
        firmware=tuple(image for part in parts for image in _firmware(part)),
        devices=tuple(device for part in parts for device in _devices(part, types)),
        sbat=_sbat(layout),
        signatures=signatures,
        flaws=(*flaws, *(str(p.table.flaw.message) for p in parts if p.table and p.table.flaw)),
        authenticode=assembly.authenticode if assembly else None,
    )


def stub_view(layout: Layout) -> StubView | None:
    return StubView(layout.stub.program, layout.stub.version) if layout.stub else None


def _section(layout: Layout, placed: PlacedSection, image: FirmwareImage | None, sha256: str | None) -> SectionView:
    section, header = placed.section, placed.header

    return SectionView(
        name=section.name,
        profile=section.profile,
        address=header.virtual_address,
        offset=header.raw_offset,
        size=section.content.size,
        raw_size=header.raw_size,
        share=round(header.raw_size / layout.file_size, 6) if layout.file_size else 0.0,
        source=section.source,
        what=_content_words(section, image),
        measured=measured(section, addon=layout.kind is ImageKind.ADDON) if layout.kind is not ImageKind.OTHER else "",
        sha256=sha256,
    )


def _content_words(section: Section, image: FirmwareImage | None) -> str:
    """A few words on a section's content."""
    if section.origin is Origin.STUB:
        return "stub"
    if image is not None:
        return f"{image.fwid}: {image.content}" if image.content else f"broken: {image.flaw}"
    words = _WORDS.get(section.name)
    return words(section) if words else ""


def _kernel_words(section: Section) -> str:
    content = section.content
    try:
        headers = pe.decode(content.read_at(0, pe.HEAD_SIZE), content.size)
    except FormatError:
        return "no EFI executable"
    return f"kernel for {headers.machine_name}" + (", signed" if headers.security.size else "")


def _archive_words(section: Section) -> str:
    head = section.content.read_at(0, 8)
    return "cpio" if head.startswith(b"0707") else compression.detect(head) or ""


def _release_words(section: Section) -> str:
    values = read_assignments(section)
    return values.get("PRETTY_NAME") or values.get("ID", "")


def _text_words(section: Section) -> str:
    """The start of a text section, on one line, without control characters."""
    text = section.content.read_at(0, _MAX_TEXT).rstrip(b"\0").decode("utf-8", "replace")
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _table_words(section: Section) -> str:
    count = len(read_hardware_table(section).records)
    return f"{count} hardware id{'s' * (count != 1)}"


def _sbat_words(section: Section) -> str:
    lines = [line.partition(",")[0] for line in _sbat_lines(section)[1:]]
    return ", ".join(lines)


def _sbat_lines(section: Section) -> list[str]:
    return section.content.read_at(0, _MAX_TEXT).rstrip(b"\0").decode("utf-8", "replace").splitlines()


_WORDS: dict[str, Callable[[Section], str]] = {
    ".dtb": lambda section: read_compatible(section) or "",
    ".dtbauto": lambda section: read_compatible(section) or "",
    ".hwids": _table_words,
    ".sbat": _sbat_words,
    ".linux": _kernel_words,
    ".initrd": _archive_words,
    ".ucode": _archive_words,
    ".osrel": _release_words,
    ".cmdline": _text_words,
    ".uname": _text_words,
    ".profile": lambda section: read_assignments(section).get("TITLE", ""),
}


def _firmware(part: Slice) -> Iterator[FirmwareView]:
    """Images with their CHIDs; of several with one fwid the stub takes the first, and no id selects the others."""
    table = dict(part.table.keys(DeviceType.UEFI_FW)) if part.table else {}
    for image in part.firmware:
        content = image.content
        yield FirmwareView(
            profile=part.profile,
            fwid=image.fwid,
            kind=content.kind.value if content else "broken",
            features=content.features if content else (),
            version=content.version if content else None,
            size=image.payload.size,
            chids=tuple(str(c) for c in table.pop(image.fwid, ())) if image.fwid else (),
            flaw=image.flaw.message if image.flaw else content.flaw if content else None,
        )


def _devices(part: Slice, types: Mapping[UUID, int]) -> list[DeviceView]:
    if part.table is None:
        return []

    present = {
        DeviceType.UEFI_FW: {image.fwid for image in part.firmware},
        DeviceType.DEVICETREE: {read_compatible(section) for section in part.devicetrees},
    }

    return [
        DeviceView(
            profile=part.profile,
            type=device.type.json_name,
            name=device.name,
            fwid=device.key if device.type is DeviceType.UEFI_FW else None,
            compatible=device.key if device.type is DeviceType.DEVICETREE else None,
            chids=tuple(str(c) for c in sorted(device.chids)),
            types=tuple(types.get(c) for c in sorted(device.chids)),
            present=device.key in present[device.type],
        )
        for device in group(part.table.records)
    ]


def _sbat(layout: Layout) -> tuple[str, ...]:
    sections = layout.find(".sbat")
    return tuple(_sbat_lines(sections[0])) if sections else ()


def _signatures(layout: Layout) -> tuple[tuple[SignatureView, ...], tuple[str, ...]]:
    try:
        entries = certificates(layout)
    except FormatError as error:
        return (), (error.message,)

    return tuple(_signature(layout, entry) for entry in entries), ()


def _signature(layout: Layout, entry: WinCertificate) -> SignatureView:
    if entry.kind != authenticode.AUTHENTICODE:
        return SignatureView(offset=entry.offset, size=entry.size, authenticode=False)

    from fuki_build.formats.asn1 import signed_data, x509  # noqa: PLC0415 - cryptography is slow to load

    try:
        signature = signed_data.decode(read_certificate(layout, entry))
        signer_certificates = [signature.certificate_of(signer) for signer in signature.signers]
        subject = ", ".join(x509.subject(certificate) for certificate in signer_certificates if certificate is not None)
    except FormatError:
        return SignatureView(offset=entry.offset, size=entry.size, authenticode=True)

    return SignatureView(
        offset=entry.offset, size=entry.size, authenticode=True, signer=subject or None, algorithm=signature.algorithm
    )
