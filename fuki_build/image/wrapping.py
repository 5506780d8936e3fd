"""Firmware as an IGVM file: an OVMF image with its start state, so that a hypervisor can start it as it is.

Pages of the firmware come first, in the order in which hypervisors measure the bare image: so an SEV-SNP guest has the
launch digest that it has without the file, as long as nothing is added. Nothing is read but the firmware's tables.

Sources: microsoft/igvm, igvm_defs; backends/igvm.c and target/i386/sev.c in QEMU; OvmfPkg/ResetVector in edk2.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from msgspec import Struct

from fuki_build.errors import FormatError
from fuki_build.formats.confidential import igvm, ovmf, reset_registers
from fuki_build.formats.confidential.id_block import DEFAULT_POLICY, IdAuth, IdBlock
from fuki_build.formats.confidential.igvm import data_hobs, id_block_header
from fuki_build.formats.confidential.igvm.data_hobs import DataHob, DataKind
from fuki_build.formats.confidential.ovmf import IgvmKind, IgvmSection, Ovmf, SevKind, SevSection
from fuki_build.image.blob import Blob

PAGE = igvm.PAGE
TOP = 1 << 32
"""Where firmware ends in the guest's memory."""
DATA_ADDRESS = 64 * 1024 * 1024
"""Where data are put that firmware is to find: OVMF leaves this alone (measured: edk2 2022.11 to 2026.08, 1 GiB)."""
MAX_FIRMWARE = 16 * 1024 * 1024
"""Bytes of firmware below 4 GiB; more would reach into the interrupt controllers' addresses."""
PLATFORMS = {igvm.IgvmPlatform.NATIVE: 0x1, igvm.IgvmPlatform.SEV_SNP: 0x2}
"""What firmware can be wrapped for, and the bit that stands for it in our files."""
_HIGHEST_VTL, _PLATFORM_VERSION = 2, 1
_AREA_INDEX = 0
_MAX_PAGES = igvm.MAX_HEADERS // 2
_SEV_PAGES = {SevKind.SECRETS: igvm.PageKind.SECRETS, SevKind.CPUID: igvm.PageKind.CPUID}
_RESET_SIZE = 16
_LOWEST_DATA = 32 * 1024 * 1024
"""OVMF unpacks itself below this (measured: up to 0x1a04000 with edk2 2026.08)."""
_MAX_SEV_MEMORY, _MAX_AREA = 64 * 1024 * 1024, 1024 * 1024


class GuestData(Struct, frozen=True):
    """Something that the firmware finds in its memory, such as a UKI to start or a Secure Boot key."""

    kind: DataKind
    content: Blob


class WrapSettings(Struct, frozen=True, kw_only=True):
    """What a file of one firmware may differ in.

    `cpu_signature` is what RDX has in an SEV-SNP guest, as CPUID 1 tells it: without a file KVM sets the machine's, and
    firmware does not look at it. `snp_parameters` lets the loader of an SEV-SNP guest fill memory map and number of
    vCPUs in, which is not measured; firmware otherwise asks QEMU's fw_cfg.
    """

    platforms: tuple[igvm.IgvmPlatform, ...] = tuple(PLATFORMS)
    policy: int = DEFAULT_POLICY
    cpu_signature: int = 0
    snp_parameters: bool = False
    id_block: tuple[IdBlock, IdAuth] | None = None
    data_address: int = DATA_ADDRESS


class _Pages(NamedTuple):
    """Guest memory of a file: `size` bytes in whole pages, zeros where there is no content."""

    address: int
    size: int
    mask: int
    content: Blob | None = None
    kind: igvm.PageKind = igvm.PageKind.NORMAL

    @property
    def end(self) -> int:
        return self.address + self.size


def wrap(firmware: Blob, settings: WrapSettings, data: Sequence[GuestData] = ()) -> Blob:
    """The file. Raises `FormatError` for firmware, or data, that cannot be put into one; says what it lacks."""
    table = _decode(firmware, settings)
    used = sum(PLATFORMS[platform] for platform in dict.fromkeys(settings.platforms))
    snp = used & PLATFORMS[igvm.IgvmPlatform.SEV_SNP]

    hobs = tuple(_place(data, settings.data_address))
    pages = [
        *_data_pages(table, data, hobs, used),
        _Pages(address=TOP - firmware.size, size=firmware.size, mask=used, content=firmware),
    ]
    parameters, filled = _parameters(table, used if settings.snp_parameters else used & ~snp)
    _check_count(pages)
    if snp:
        pages += _sev_pages(table.sev or (), snp, {*filled, *(page for p in pages for page in _addresses(p))})
    _check_places(table, pages, hobs)

    head: list[igvm.Directive] = [
        igvm.SupportedPlatform(
            mask=PLATFORMS[p], highest_vtl=_HIGHEST_VTL, platform=p, version=_PLATFORM_VERSION, shared_gpa_boundary=0
        )
        for p in settings.platforms
    ]
    if snp:
        head.append(igvm.GuestPolicy(settings.policy, snp))
    head += parameters
    if snp and settings.id_block is not None:
        head.append(id_block_header.encode(snp, *settings.id_block))
    return _assemble(head, pages, tuple(_contexts(settings)))


def _decode(firmware: Blob, settings: WrapSettings) -> Ovmf:
    if not settings.platforms:
        raise FormatError("an IGVM file is for at least one platform")

    table = ovmf.decode(firmware.reader)
    if table is None:
        hint = "take an OVMF image with code, such as OVMF.fd; what is an IGVM file already needs no wrapping"
        raise FormatError("the firmware has no GUID table of OVMF, so it cannot become an IGVM file", hint=hint)

    if not firmware.size or firmware.size % PAGE or firmware.size > MAX_FIRMWARE:
        limit = MAX_FIRMWARE >> 20
        raise FormatError(f"firmware has whole pages of 4 KiB, up to {limit} MiB; this one has {firmware.size} bytes")

    if igvm.IgvmPlatform.SEV_SNP in settings.platforms and not any(s.size for s in table.sev or ()):
        hint = 'take a build that has them, or leave the platform out: platforms = ["native"]'
        raise FormatError("the firmware has no SEV metadata, so it is not made for SEV-SNP", hint=hint)

    vector = firmware.read_at(firmware.size - _RESET_SIZE, _RESET_SIZE)
    if igvm.IgvmPlatform.NATIVE in settings.platforms and not reset_registers.starts_in_protected_mode(vector):
        hint = "take OVMF of edk2 2021 or later"
        raise FormatError("the firmware's reset vector does not start in protected mode", hint=hint)

    if settings.id_block is not None and settings.id_block[0].policy != settings.policy:
        theirs = settings.id_block[0].policy
        raise FormatError(f"the ID block is for the policy {theirs:#x}, the file's is {settings.policy:#x}")

    return table


def _area(table: Ovmf, kind: IgvmKind) -> IgvmSection | None:
    """One of the firmware's areas of whole pages; None where it has none."""
    area = igvm_section(table, kind)
    if area is not None and (area.address % PAGE or area.size % PAGE or area.size > _MAX_AREA):
        raise FormatError(
            f"the firmware's {kind.name} at {area.address:#x} is not made of whole pages, up to {_MAX_AREA >> 20} MiB"
        )
    return area


def igvm_section(table: Ovmf, kind: IgvmKind) -> IgvmSection | None:
    """The firmware's page, or part of its parameter area, of a kind; None where it has none."""
    return next((s for s in table.igvm or () if s.kind == kind and s.size), None)


def _place(data: Sequence[GuestData], address: int) -> Iterator[DataHob]:
    """Where each piece goes: one after the other, each at a page's start."""
    if data and address % PAGE:
        raise FormatError(f"data start at a page of 4 KiB, and {address:#x} is none")
    for piece in data:
        if not piece.content.size:
            raise FormatError(f"the data of kind {piece.kind.name} are empty")
        yield DataHob(address, piece.content.size, piece.kind)
        address += _whole_pages(piece.content.size)


def _data_pages(table: Ovmf, data: Sequence[GuestData], hobs: Sequence[DataHob], mask: int) -> Iterator[_Pages]:
    if not data:
        return
    area = _area(table, IgvmKind.HOB_AREA)
    if area is None:
        hint = "take OVMF of edk2 stable202511 or later whose IGVM metadata have a HOB area"
        raise FormatError("the firmware has no place to be told of data: it starts no UKI of an IGVM file", hint=hint)
    yield _Pages(
        address=area.address, size=area.size, mask=mask, content=Blob.of_bytes(data_hobs.encode(hobs, area.size))
    )
    for piece, hob in zip(data, hobs, strict=True):
        yield _Pages(address=hob.address, size=_whole_pages(hob.size), mask=mask, content=piece.content)


def _parameters(table: Ovmf, mask: int) -> tuple[list[igvm.Directive], range]:
    """What the loader is to fill in, and the pages that it goes to.

    The area stands before all pages, because QEMU adds it to the launch when it comes to it, but pages one late.
    """
    area = _area(table, IgvmKind.PARAMETER_AREA)
    if area is None or not mask:
        return [], range(0)

    directives: list[igvm.Directive] = [igvm.ParameterArea(area.size, _AREA_INDEX, 0)]

    for kind, header in ((IgvmKind.MEMORY_MAP, igvm.MEMORY_MAP), (IgvmKind.VP_COUNT, igvm.VP_COUNT)):
        part = igvm_section(table, kind)
        if part is not None:
            if part.address + part.size > area.size:
                raise FormatError(f"the firmware's {kind.name} lies outside its parameter area")
            directives.append(igvm.Parameter(header, _AREA_INDEX, part.address))

    directives.append(igvm.ParameterInsert(area.address, mask, _AREA_INDEX))
    snp = mask & PLATFORMS[igvm.IgvmPlatform.SEV_SNP]
    return directives, range(area.address, area.address + area.size, PAGE) if snp else range(0)


def _sev_pages(sections: Sequence[SevSection], mask: int, taken: set[int]) -> Iterator[_Pages]:
    """What the SEV metadata ask for, in the table's order; pages that have content of their own are left out."""
    if sum(section.size for section in sections) > _MAX_SEV_MEMORY:
        raise FormatError(f"the SEV metadata ask for more than {_MAX_SEV_MEMORY >> 20} MiB of memory")

    for section in sections:
        name = ovmf.kind_name(SevKind, section.kind)
        if section.kind not in list(SevKind):
            raise FormatError(f"the SEV metadata have a section of the unknown kind {name}")
        if section.address % PAGE or section.size % PAGE:
            raise FormatError(f"the {name} section of the SEV metadata is not made of whole pages")

        kind = _SEV_PAGES.get(SevKind(section.kind), igvm.PageKind.NORMAL)
        for address in range(section.address, section.address + section.size, PAGE):
            if address not in taken:
                yield _Pages(address=address, size=PAGE, mask=mask, content=None, kind=kind)


def _addresses(pages: _Pages) -> range:
    return range(pages.address, pages.end, PAGE)


def _check_count(pages: Sequence[_Pages]) -> None:
    count = sum(p.size // PAGE for p in pages)
    if count > _MAX_PAGES:
        limit = _MAX_PAGES * PAGE >> 20
        raise FormatError(f"firmware and data in an IGVM file have up to {limit} MiB, these have {count * PAGE} bytes")


def _check_places(table: Ovmf, pages: Sequence[_Pages], hobs: Sequence[DataHob]) -> None:
    """That nothing is in one place twice, and data where firmware keeps nothing of its own."""
    for one, other in pairwise(sorted(pages, key=lambda p: p.address)):
        if other.address < one.end:
            raise FormatError(f"memory at {other.address:#x} would be filled twice")
    areas = [(s.address, s.size) for s in table.sev or ()]
    areas += [(s.address, s.memory_size) for s in table.tdx or ()]
    for hob in hobs:
        if hob.address < _LOWEST_DATA or any(
            hob.address < a + size and a < hob.address + hob.size for a, size in areas
        ):
            hint = f"{DATA_ADDRESS:#x}, the default, is left alone"
            raise FormatError(f"the firmware would overwrite data at {hob.address:#x} itself", hint=hint)


def _contexts(settings: WrapSettings) -> Iterator[tuple[igvm.VpContext, Blob]]:
    """The boot CPU's registers, last of all: KVM measures a VMSA behind every page."""
    if igvm.IgvmPlatform.SEV_SNP in settings.platforms:
        page = reset_registers.snp_boot_page(settings.cpu_signature)
        mask = PLATFORMS[igvm.IgvmPlatform.SEV_SNP]
        yield igvm.VpContext(reset_registers.VMSA_ADDRESS, mask, 0, 0), Blob.of_bytes(page)
    if igvm.IgvmPlatform.NATIVE in settings.platforms:
        registers = reset_registers.native_boot_context()
        yield igvm.VpContext(0, PLATFORMS[igvm.IgvmPlatform.NATIVE], 0, 0), Blob.of_bytes(registers)


def _assemble(
    head: Sequence[igvm.Directive], pages: Sequence[_Pages], contexts: Sequence[tuple[igvm.VpContext, Blob]]
) -> Blob:
    """The headers, with offsets, and behind them all content, each piece padded to whole pages."""
    count = sum(p.size // PAGE for p in pages)
    page_header = igvm.encoded_size(igvm.PageData(gpa=0, mask=0, file_offset=0, flags=0, kind=0))
    headers = igvm.data_offset([*head, *(context for context, _ in contexts)]) + count * page_header

    # Where pages start at pages of the file, tools that look for firmware volumes find them.
    start = _whole_pages(headers)
    content, directives = Blob(), list(head)

    for pages_ in pages:
        offset = start + content.size if pages_.content is not None else 0
        directives += _page_headers(pages_, offset)
        if pages_.content is not None:
            content += _padded(pages_.content)

    for context, registers in contexts:
        directives.append(context._replace(file_offset=start + content.size))
        content += _padded(registers)

    gap = start - headers
    return Blob.of_bytes(igvm.encode_head(directives, gap + content.size) + bytes(gap)) + content


def _page_headers(pages: _Pages, offset: int) -> Iterator[igvm.PageData]:
    for at in range(0, pages.size, PAGE):
        yield igvm.PageData(
            gpa=pages.address + at, mask=pages.mask, file_offset=offset + at if offset else 0, flags=0, kind=pages.kind
        )


def _whole_pages(size: int) -> int:
    return -(-size // PAGE) * PAGE


def _padded(content: Blob) -> Blob:
    missing = -content.size % PAGE
    return content + Blob.of_bytes(bytes(missing)) if missing else content
