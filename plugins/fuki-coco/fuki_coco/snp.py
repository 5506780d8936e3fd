"""AMD SEV-SNP: launch digests of OVMF under QEMU, EC2 and GCE, and of IGVM files."""

from collections.abc import Iterator, Sequence
from itertools import product

from fuki_build.errors import FormatError, RecipeError
from fuki_build.formats.confidential import igvm, ovmf
from fuki_build.formats.confidential.ovmf import Ovmf
from fuki_build.formats.confidential.reset_registers import VMSA_ADDRESS
from fuki_build.formats.reader import Reader
from fuki_build.hooks import (
    DirectBoot,
    LaunchDigest,
    LaunchModel,
    LaunchNote,
    LaunchParameters,
    LaunchPrediction,
    LaunchSearch,
    LaunchStep,
    Svsm,
)

from fuki_coco import cpus, igvm_snp
from fuki_coco.memory import boot_name, check_parameters
from fuki_coco.snp_digest import START, Page, SnpPageType, extend, page_of
from fuki_coco.snp_pages import (
    SVSM_PART,
    cpu_models,
    firmware_pages,
    metadata_pages,
    named_models,
    svsm_entry,
    svsm_pages,
    vcpu_pages,
)
from fuki_coco.snp_search import USUAL_FEATURES, SnpSearch
from fuki_coco.vcpus import Vmm, svsm_page


class SevSnp(LaunchModel):
    """AMD SEV-SNP.

    >>> SevSnp().predict(bytes(4096), LaunchParameters()) is None
    True
    """

    name = "sev-snp"
    title = "AMD SEV-SNP"
    vmms = tuple(Vmm)
    usual_features = USUAL_FEATURES

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

    def search(self, firmware: bytes, parameters: LaunchParameters, digest: bytes) -> LaunchSearch | None:
        if len(digest) != len(START):
            return LaunchSearch()
        check_parameters(parameters)
        file = igvm.decode(Reader.of(firmware))
        if file is not None:
            search = super().search(firmware, parameters, digest)
            return search if search is None or search.found else igvm_snp.with_cuts(search, file, parameters, digest)

        image = ovmf.decode(Reader.of(firmware))
        if image is None or image.sev is None:
            return None
        if parameters.svsm is not None:
            return super().search(firmware, parameters, digest)
        return SnpSearch(self.name, firmware, image, parameters, digest).run()

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
        entry = svsm_entry(firmware, svsm)

        digests = []
        for model in named_models(parameters):
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
                    variant=SVSM_PART,
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
            signature = cpus.find_signature(named_models(parameters)[0])
            registers = svsm_page(svsm_entry(firmware, parameters.svsm), signature)
            yield from (page_of(f"vCPU {i}", SnpPageType.VMSA, VMSA_ADDRESS, registers) for i in range(count))
            return

        yield from firmware_pages(firmware)
        yield from metadata_pages(image, len(firmware), vmm, boot)
        boot_cpu, other = vcpu_pages(image, vmm, model, parameters.guest_features[0], count)
        yield boot_cpu
        yield from (other._replace(part=f"vCPU {number}") for number in range(1, count))


def _chain(first: bytes, other: Page, counts: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """The digests for each number of vCPUs, starting with one; each is computed from the previous one."""
    by_count = {1: first}
    digest = first
    for count in range(2, max(counts) + 1):
        digest = by_count[count] = extend(digest, [other])

    for count in counts:
        yield count, by_count[count]
