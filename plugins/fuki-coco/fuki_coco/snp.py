"""AMD SEV-SNP: launch digests of OVMF under QEMU, EC2 and GCE, and of IGVM files."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import product

from fuki_build.errors import FormatError, FukiError, RecipeError
from fuki_build.formats.confidential import igvm, ovmf, sev_hashes
from fuki_build.formats.confidential.ovmf import Ovmf, SevKind, SevSection
from fuki_build.formats.confidential.reset_registers import RESET_VECTOR, VMSA_ADDRESS
from fuki_build.formats.reader import Reader
from fuki_build.hooks import (
    DirectBoot,
    LaunchDigest,
    LaunchModel,
    LaunchNote,
    LaunchParameters,
    LaunchPrediction,
    LaunchStep,
    Svsm,
)

from fuki_coco import cpus, igvm_snp
from fuki_coco.memory import PAGE, boot_name, check_firmware, check_parameters, check_ranges, pages
from fuki_coco.snp_digest import START, Page, SnpPageType, extend, page_of
from fuki_coco.vcpus import Vmm, knows_cpu_model, register_page, svsm_page

_SINGLE = {SevKind.SECRETS: SnpPageType.SECRETS, SevKind.CPUID: SnpPageType.CPUID}
_SVSM = "svsm"


class SevSnp(LaunchModel):
    """AMD SEV-SNP.

    >>> SevSnp().predict(bytes(4096), LaunchParameters()) is None
    True
    """

    name = "sev-snp"
    title = "AMD SEV-SNP"
    vmms = tuple(Vmm)

    def predict(self, firmware: bytes, parameters: LaunchParameters) -> LaunchPrediction | None:
        check_parameters(parameters)
        file = igvm.decode(Reader.of(firmware))
        if file is not None:
            return igvm_snp.predict(file, parameters, self.name)

        image = ovmf.decode(Reader.of(firmware))
        if image is None or image.sev is None:
            return None

        if parameters.svsm is not None:
            return self._svsm(firmware, parameters.svsm, parameters)
        return self._ovmf(firmware, image, parameters)

    def steps(self, firmware: bytes, parameters: LaunchParameters) -> Iterator[LaunchStep]:
        for part, kind, address, content in self._pages(firmware, parameters):
            counts = kind in (SnpPageType.NORMAL, SnpPageType.VMSA)
            yield LaunchStep(part, kind.name, address, content.hex() if counts else "")

    def _ovmf(self, firmware: bytes, image: Ovmf, parameters: LaunchParameters) -> LaunchPrediction:
        start = extend(START, firmware_pages(firmware))
        digests: list[LaunchDigest] = []
        notes = []

        for vmm in parameters.vmms:
            if vmm == Vmm.HYPERV:
                notes.append(LaunchNote(self.name, "Hyper-V launches IGVM files only"))
                continue

            for boot in parameters.boots:
                digest = extend(start, metadata_pages(image, len(firmware), vmm, boot))
                digests += self._rows(digest, image, vmm, boot, parameters)

        return LaunchPrediction(tuple(digests), tuple(notes))

    def _rows(
        self, start: bytes, image: Ovmf, vmm: str, boot: DirectBoot | None, parameters: LaunchParameters
    ) -> Iterator[LaunchDigest]:
        models = cpu_models(vmm, parameters)
        for model, features in product(models, parameters.guest_features):
            boot_cpu, other = vcpu_pages(image, vmm, model, features, max(parameters.vcpus))
            for count, digest in _chain(extend(start, [boot_cpu]), other, parameters.vcpus):
                yield LaunchDigest(
                    technology=self.name,
                    register="MEASUREMENT",
                    algorithm="sha384",
                    digest=digest.hex(),
                    vmm=vmm,
                    vcpus=count,
                    cpu_model=model,
                    guest_features=features,
                    boot=boot_name(boot),
                )

    def _svsm(self, firmware: bytes, svsm: Svsm, parameters: LaunchParameters) -> LaunchPrediction:
        if Vmm.QEMU not in parameters.vmms:
            raise RecipeError("an SVSM with firmware beside it is known under QEMU only", hint="add qemu to the VMMs")
        if parameters.boots != (None,):
            raise RecipeError("an SVSM has no page for the hashes of a kernel, so none can be booted directly")

        start = extend(START, svsm_pages(firmware, svsm))
        entry = _svsm_entry(firmware, svsm)

        digests = []
        for model in _named_models(parameters):
            page = page_of("vCPU", SnpPageType.VMSA, VMSA_ADDRESS, svsm_page(entry, cpus.find_signature(model)))
            digests += [
                LaunchDigest(
                    technology=self.name,
                    register="MEASUREMENT",
                    algorithm="sha384",
                    digest=digest.hex(),
                    vmm=Vmm.QEMU,
                    vcpus=count,
                    cpu_model=model,
                    guest_features=1,
                    variant=_SVSM,
                )
                for count, digest in _chain(extend(start, [page]), page, parameters.vcpus)
            ]

        others = [
            LaunchNote(self.name, f"how {vmm} launches an SVSM is not known")
            for vmm in parameters.vmms
            if vmm != Vmm.QEMU
        ]

        return LaunchPrediction(tuple(digests), tuple(others))

    def _pages(self, firmware: bytes, parameters: LaunchParameters) -> Iterator[Page]:
        check_parameters(parameters)
        vmm, boot, count = parameters.vmms[0], parameters.boots[0], parameters.vcpus[0]

        file = igvm.decode(Reader.of(firmware))
        if file is not None:
            yield from igvm_snp.pages(file, vmm)
            return

        image = ovmf.decode(Reader.of(firmware))
        if image is None or image.sev is None:
            raise FormatError("the firmware has no SEV metadata, so it is not made for SEV-SNP")

        model = cpu_models(vmm, parameters)[0]
        if parameters.svsm is not None:
            yield from svsm_pages(firmware, parameters.svsm)
            signature = cpus.find_signature(_named_models(parameters)[0])
            registers = svsm_page(_svsm_entry(firmware, parameters.svsm), signature)
            yield from (page_of(f"vCPU {i}", SnpPageType.VMSA, VMSA_ADDRESS, registers) for i in range(count))
            return

        yield from firmware_pages(firmware)
        yield from metadata_pages(image, len(firmware), vmm, boot)
        boot_cpu, other = vcpu_pages(image, vmm, model, parameters.guest_features[0], count)
        yield boot_cpu
        yield from (other._replace(part=f"vCPU {number}") for number in range(1, count))


def cpu_models(vmm: str, parameters: LaunchParameters) -> Sequence[str | None]:
    """The CPU models to distinguish; None where the hypervisor does not measure them."""
    return _named_models(parameters) if knows_cpu_model(vmm) else (None,)


def _named_models(parameters: LaunchParameters) -> Sequence[str]:
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
    yield from image_pages(_SVSM, svsm.image, end - len(svsm.image))
    yield from metadata_pages(image, len(firmware), Vmm.QEMU, None)


def _decode_svsm(svsm: Svsm) -> Ovmf:
    image = ovmf.decode(Reader.of(svsm.image))
    if image is None or image.sev is None or image.svsm_entry is None:
        raise FormatError("this is no SVSM: it has no SVSM info or no SEV metadata")
    return image


def _svsm_entry(firmware: bytes, svsm: Svsm) -> int:
    start = check_firmware(firmware) - svsm.variables_size - len(svsm.image)
    return start + (_decode_svsm(svsm).svsm_entry or 0)


def _chain(first: bytes, other: Page, counts: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """The digests for each number of vCPUs, starting with one; each is computed from the previous one."""
    by_count = {1: first}
    digest = first
    for count in range(2, max(counts) + 1):
        digest = by_count[count] = extend(digest, [other])

    for count in counts:
        yield count, by_count[count]
