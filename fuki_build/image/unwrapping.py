"""What an IGVM file of ours was made of: the firmware, its settings and data.

Checks look at the firmware that is in one, and outputs put more data into it.
"""

from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache

from msgspec import Struct

from fuki_build.errors import FormatError
from fuki_build.formats.confidential import igvm, ovmf, vmsa
from fuki_build.formats.confidential.id_block import DEFAULT_POLICY
from fuki_build.formats.confidential.igvm import data_hobs, id_block_header
from fuki_build.formats.confidential.igvm.data_hobs import DataHob, DataKind
from fuki_build.formats.confidential.ovmf import IgvmKind
from fuki_build.image.blob import Blob
from fuki_build.image.wrapping import DATA_ADDRESS, PLATFORMS, TOP, GuestData, WrapSettings, igvm_section, wrap


class Unwrapped(Struct, frozen=True):
    """What `wrap` was given."""

    firmware: Blob
    settings: WrapSettings
    data: tuple[GuestData, ...]


@lru_cache(maxsize=16)
def unwrap(file: Blob) -> Unwrapped | None:
    """What a file was made of; None for what `wrap` did not make. Never fails, whatever the content.

    Kept: several checks ask for the same file.
    """
    with suppress(FormatError):
        decoded = igvm.decode(file.reader)
        if decoded is None:
            return None
        parts = _take_apart(decoded, file)
        # A file of another's making may have anything else in it: only the same headers mean the same file.
        again = wrap(parts.firmware, parts.settings, parts.data)
        head = again.parts[0].size
        if again.size == file.size and again.read_at(0, head) == file.read_at(0, head):
            return parts
    return None


def _take_apart(file: igvm.Igvm, content: Blob) -> Unwrapped:
    pages = {d.gpa: d for d in file.directives if isinstance(d, igvm.PageData)}
    address = TOP
    while address - igvm.PAGE in pages and pages[address - igvm.PAGE].file_offset:
        address -= igvm.PAGE
    if address == TOP:
        raise FormatError("the IGVM file has no firmware below 4 GiB")
    firmware = content.slice(pages[address].file_offset, TOP - address)

    table = ovmf.decode(firmware.reader)
    area = igvm_section(table, IgvmKind.HOB_AREA) if table is not None else None
    page = pages.get(area.address) if area is not None else None
    hobs = data_hobs.decode(file.page(page)) if page is not None else ()
    data = tuple(_piece(content, pages, hob) for hob in hobs)
    return Unwrapped(firmware, _settings(file, hobs[0].address if hobs else DATA_ADDRESS), data)


def _piece(content: Blob, pages: Mapping[int, igvm.PageData], hob: DataHob) -> GuestData:
    page = pages.get(hob.address)
    if page is None or hob.kind not in list(DataKind):
        raise FormatError(f"the IGVM file has no data of a known kind at {hob.address:#x}")
    return GuestData(DataKind(hob.kind), content.slice(page.file_offset, hob.size))


def _settings(file: igvm.Igvm, data_address: int) -> WrapSettings:
    mask = PLATFORMS[igvm.IgvmPlatform.SEV_SNP]
    own = [d for d in file.directives if getattr(d, "mask", 0) & mask]
    policy = next((d.policy for d in own if isinstance(d, igvm.GuestPolicy)), DEFAULT_POLICY)
    blocks = [d for d in own if isinstance(d, igvm.SnpIdBlock)]
    contexts = [d for d in own if isinstance(d, igvm.VpContext)]
    registers = vmsa.decode(file.context(contexts[0])) if contexts else {}

    signature = registers.get("rdx", 0)
    return WrapSettings(
        platforms=tuple(igvm.IgvmPlatform(p.platform) for p in file.platforms if p.platform in list(PLATFORMS)),
        policy=policy,
        cpu_signature=signature if isinstance(signature, int) else 0,
        snp_parameters=any(isinstance(d, igvm.ParameterInsert) for d in own),
        id_block=id_block_header.decode(blocks[0], policy) if blocks else None,
        data_address=data_address,
    )
