"""Which SEV-SNP launch of OVMF has a digest: all of them share the firmware's pages, and each chain of vCPUs is one.

For n vCPUs the digest is that for n - 1, extended: so all numbers of them cost what the largest one does.
"""

from collections.abc import Iterator, Sequence
from itertools import chain, islice, product
from typing import NamedTuple

from fuki_build.formats.confidential.ovmf import Ovmf, SevKind
from fuki_build.hooks import DirectBoot, LaunchDigest, LaunchNote, LaunchParameters, LaunchSearch, NearLaunch

from fuki_coco.memory import boot_name
from fuki_coco.snp_digest import START, Page, ended, extend, repeated, trail
from fuki_coco.snp_pages import cpu_models, firmware_pages, metadata_pages, vcpu_pages
from fuki_coco.vcpus import Vmm

USUAL_FEATURES = tuple(1 | sum(bits) for bits in product((0, 0x20), (0, 0x200), (0, 0x8), (0, 0x10)))
"""SNP, with and without debug register swap, secure TSC, restricted and alternate injection (APM 2, table B-4).

These are the bits that a hypervisor sets without a paravisor in the guest.
"""
_NO_HASHES = "the firmware has no page for kernel hashes: launches with a kernel were left out"
_TOO_MANY = "the firmware has so much metadata that not all hypervisors and direct boots were tried"
_MAX_CHANGED = 500_000
"""Limit of launches with a change that are tried."""
_MAX_PAGES = 200_000
"""Limit of pages of metadata over all hypervisors and boots; OVMF has some fifty."""


class _Start(NamedTuple):
    """What is measured before the vCPUs, for one hypervisor and boot; `digest` is the one after the firmware."""

    vmm: str
    boot: DirectBoot | None
    digest: bytes
    pages: tuple[Page, ...]


class _Registers(NamedTuple):
    """The pages of the boot vCPU and of the others, of one kind of processor with some features."""

    model: str | None
    features: int
    boot: Page
    other: Page


class SnpSearch:
    """The search for one digest among the launches of one firmware image."""

    def __init__(
        self, technology: str, firmware: bytes, image: Ovmf, parameters: LaunchParameters, digest: bytes
    ) -> None:
        self._technology = technology
        self._image = image
        self._parameters = parameters
        self._digest = digest
        self._size = len(firmware)
        # Firmware that does not say where other vCPUs start has one.
        self._counts = frozenset(count for count in parameters.vcpus if image.reset_address is not None or count == 1)
        self._vmms = [vmm for vmm in parameters.vmms if vmm != Vmm.HYPERV]
        self._registers = {vmm: tuple(self._registers_of(vmm)) for vmm in self._vmms}
        self._firmware = firmware_pages(firmware)
        self._is_cut = False

    def run(self) -> LaunchSearch:
        """The launches with the digest; where there is none, those that have it with one change."""
        steps = trail(START, self._firmware)
        starts = list(self._starts(steps[-1]))

        launches: list[LaunchDigest] = []
        tried = 0
        for start in starts:
            launches += self._from(start, self._registers[start.vmm])
            tried += len(self._registers[start.vmm]) * len(self._counts)
            # What else is measured has another digest.
            if launches:
                return LaunchSearch(found=tuple(launches), tried=tried)

        near = list(self._cuts(starts, steps)) if starts else []
        changed = 0
        for start, registers, change in () if near else self._changes(starts):
            cost = len(registers) * max(self._counts, default=0) + len(start.pages)
            if changed + cost > _MAX_CHANGED:
                break
            changed += cost
            near += (NearLaunch(launch=row, change=change) for row in self._from(start, registers))
        return LaunchSearch(near=tuple(near), tried=tried, changed=changed, notes=tuple(self._notes()))

    def _notes(self) -> Iterator[LaunchNote]:
        if Vmm.HYPERV in self._parameters.vmms:
            yield LaunchNote(self._technology, "Hyper-V launches IGVM files only")
        if not self._has_hashes and self._parameters.boots != (None,):
            yield LaunchNote(self._technology, _NO_HASHES)
        if self._is_cut:
            yield LaunchNote(self._technology, _TOO_MANY)

    @property
    def _has_hashes(self) -> bool:
        address = self._image.hash_table_address
        return address is not None and any(
            section.kind == SevKind.KERNEL_HASHES and section.address <= address < section.address + section.size
            for section in self._image.sev or ()
        )

    def _starts(self, digest: bytes) -> Iterator[_Start]:
        remaining = _MAX_PAGES
        for boot, vmm in product(self._parameters.boots, self._vmms):
            if boot is None or self._has_hashes:
                pages = tuple(metadata_pages(self._image, self._size, vmm, boot))
                remaining -= len(pages)
                if remaining < 0:
                    self._is_cut = True
                    return
                yield _Start(vmm, boot, digest, pages)

    def _registers_of(self, vmm: str) -> Iterator[_Registers]:
        count = max(self._counts, default=1)
        for model, features in product(cpu_models(vmm, self._parameters), self._parameters.guest_features):
            yield _Registers(model, features, *vcpu_pages(self._image, vmm, model, features, count))

    def _from(self, start: _Start, registers: Sequence[_Registers]) -> Iterator[LaunchDigest]:
        """The launches with the digest that go on from here: one chain for each kind of vCPU."""
        digest, most = extend(start.digest, start.pages), max(self._counts, default=0)
        for row in registers if most else ():
            first = extend(digest, [row.boot])
            chained = chain((first,), islice(repeated(first, row.other), most - 1))
            for count, after in enumerate(chained, 1):
                if after == self._digest and count in self._counts:
                    yield self._row(start, row, count)

    def _row(self, start: _Start, registers: _Registers | None = None, count: int | None = None) -> LaunchDigest:
        return LaunchDigest(
            technology=self._technology,
            register="MEASUREMENT",
            algorithm="sha384",
            digest=self._digest.hex(),
            vmm=start.vmm,
            vcpus=count,
            cpu_model=registers.model if registers else None,
            guest_features=registers.features if registers else None,
            boot=boot_name(start.boot),
        )

    def _cuts(self, starts: Sequence[_Start], firmware: Sequence[bytes]) -> Iterator[NearLaunch]:
        """Launches that have the digest before they are complete: what would be measured next was not."""
        if self._digest in firmware[:-1]:
            page = self._firmware[firmware.index(self._digest)]
            yield NearLaunch(launch=self._row(starts[0]), change=ended(page))
            return
        for start in starts:
            steps = trail(start.digest, start.pages)
            if self._digest in steps:
                at = steps.index(self._digest)
                change = ended(start.pages[at]) if at < len(start.pages) else "it ended before its vCPUs were measured"
                yield NearLaunch(launch=self._row(start), change=change)

    def _changes(self, starts: Sequence[_Start]) -> Iterator[tuple[_Start, Sequence[_Registers], str]]:
        """Launches with one change: registers as of another hypervisor, or a part of the metadata left out."""
        for start in starts:
            for vmm in self._vmms:
                if vmm != start.vmm:
                    yield start, self._registers[vmm], f"its vCPUs start as under {vmm}"
        for start in starts:
            for part in dict.fromkeys(page.part for page in start.pages):
                pages = tuple(page for page in start.pages if page.part != part)
                yield start._replace(pages=pages), self._registers[start.vmm], f"{part} was not measured"
