"""The pages that an SEV-SNP launch of OVMF measures, in order: firmware, its SEV metadata, an SVSM, vCPUs."""

from collections.abc import Iterator, Sequence
from functools import lru_cache

from fuki_build.errors import FormatError, FukiError
from fuki_build.formats.confidential import ovmf, sev_hashes
from fuki_build.formats.confidential.ovmf import Ovmf, SevKind, SevSection
from fuki_build.formats.confidential.reset_registers import RESET_VECTOR, VMSA_ADDRESS
from fuki_build.formats.reader import Reader
from fuki_build.hooks import DirectBoot, LaunchParameters, Svsm

from fuki_coco import cpus
from fuki_coco.memory import PAGE, check_firmware, check_ranges, pages
from fuki_coco.snp_digest import Page, SnpPageType, page_of
from fuki_coco.vcpus import Vmm, knows_cpu_model, register_page

_SINGLE = {SevKind.SECRETS: SnpPageType.SECRETS, SevKind.CPUID: SnpPageType.CPUID}
SVSM_PART = "svsm"


def cpu_models(vmm: str, parameters: LaunchParameters) -> Sequence[str | None]:
    """The CPU models to distinguish; None where the hypervisor does not measure them."""
    return named_models(parameters) if knows_cpu_model(vmm) else (None,)


def named_models(parameters: LaunchParameters) -> Sequence[str]:
    return parameters.cpu_models or cpus.GENERATIONS


def firmware_pages(firmware: bytes) -> Sequence[Page]:
    return image_pages("firmware", firmware, check_firmware(firmware))


@lru_cache(maxsize=4)
def image_pages(part: str, image: bytes, address: int) -> Sequence[Page]:
    """All pages of an image, cached: the same firmware is launched in many ways."""
    return [page_of(part, SnpPageType.NORMAL, address + i * PAGE, data) for i, data in enumerate(pages(image))]


def metadata_pages(image: Ovmf, size: int, vmm: str, boot: DirectBoot | None) -> Iterator[Page]:
    """The pages of the firmware's SEV metadata, in the table's order; EC2 adds CPUID pages after all others.

    `size` is the firmware's. Raises `FukiError` for a kernel if there is no page for its hashes.
    """
    sections = [section for section in image.sev or () if section.size]
    _check_sections(sections, size)
    if boot is not None and not any(section.kind == SevKind.KERNEL_HASHES for section in sections):
        raise FukiError(
            "the firmware has no page for kernel hashes in its SEV metadata: a kernel that the hypervisor boots would "
            "not be measured",
            hint="take a build that has one, such as OVMF of edk2 2026, or boot the image from a disk",
        )

    for section in sections:
        if not (vmm == Vmm.EC2 and section.kind == SevKind.CPUID):
            yield from _section_pages(section, image, vmm, boot)
    for section in sections if vmm == Vmm.EC2 else ():
        if section.kind == SevKind.CPUID:
            yield from _section_pages(section, image, vmm, boot)


def _check_sections(sections: Sequence[SevSection], size: int) -> None:
    ranges = [(f"the {ovmf.kind_name(SevKind, s.kind)} section", s.address, s.size) for s in sections]
    check_ranges([*ranges, ("the firmware", (1 << 32) - size, size)])

    for section in sections:
        name = ovmf.kind_name(SevKind, section.kind)
        if section.kind not in list(SevKind):
            raise FormatError(f"the SEV metadata have a section of the unknown kind {name}")
        if section.kind not in (SevKind.SEC_MEM, SevKind.SVSM_CAA) and section.size != PAGE:
            raise FormatError(f"the {name} section of the SEV metadata has {section.size:#x} bytes, not one page")


def _section_pages(section: SevSection, image: Ovmf, vmm: str, boot: DirectBoot | None) -> Iterator[Page]:
    kind = SevKind(section.kind)
    part = f"SEV metadata, {kind.name}"
    if kind is SevKind.KERNEL_HASHES and boot is not None:
        yield page_of(part, SnpPageType.NORMAL, section.address, _hashes_page(section, image, boot))
        return
    empty = SnpPageType.UNMEASURED if vmm == Vmm.GCE and kind is SevKind.SEC_MEM else SnpPageType.ZERO
    for address in range(section.address, section.address + section.size, PAGE):
        yield Page(part, _SINGLE.get(kind, empty), address)


def _hashes_page(section: SevSection, image: Ovmf, boot: DirectBoot) -> bytes:
    address = image.hash_table_address
    if address is None or not section.address <= address < section.address + section.size:
        raise FormatError("the firmware has a page for kernel hashes, but its hash table is not in that page")
    return sev_hashes.page(sev_hashes.encode(boot.kernel, boot.initrd, boot.cmdline), address)


def vcpu_pages(image: Ovmf, vmm: str, model: str | None, features: int, count: int) -> tuple[Page, Page]:
    """The register pages of the boot vCPU, and of each other one; `count` is the number of vCPUs."""
    signature = cpus.find_signature(model) if model is not None else 0
    if count > 1 and image.reset_address is None:
        raise FormatError("the firmware does not say where other vCPUs than the first start")
    starts = (RESET_VECTOR, image.reset_address or 0)
    first, other = (register_page(vmm, start, signature, features) for start in starts)
    return page_of("vCPU 0", SnpPageType.VMSA, VMSA_ADDRESS, first), page_of(
        "vCPU", SnpPageType.VMSA, VMSA_ADDRESS, other
    )


def svsm_pages(firmware: bytes, svsm: Svsm) -> Iterator[Page]:
    """Firmware, then the SVSM below it and its variable store, then the pages of the SVSM's metadata."""
    image = _decode_svsm(svsm)
    end = check_firmware(firmware) - svsm.variables_size
    if len(svsm.image) % PAGE or svsm.variables_size % PAGE or end < len(svsm.image):
        raise FormatError("the SVSM and the variable store are not made of whole pages that fit below the firmware")

    yield from firmware_pages(firmware)
    yield from image_pages(SVSM_PART, svsm.image, end - len(svsm.image))
    yield from metadata_pages(image, len(firmware), Vmm.QEMU, None)


def _decode_svsm(svsm: Svsm) -> Ovmf:
    image = ovmf.decode(Reader.of(svsm.image))
    if image is None or image.sev is None or image.svsm_entry is None:
        raise FormatError("this is no SVSM: it has no SVSM info or no SEV metadata")
    return image


def svsm_entry(firmware: bytes, svsm: Svsm) -> int:
    start = check_firmware(firmware) - svsm.variables_size - len(svsm.image)
    return start + (_decode_svsm(svsm).svsm_entry or 0)
